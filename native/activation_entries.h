// The entries of activations: fused, of a program, of whole rows; alone and inside the gated FFN.
#pragma once

#include "entry.h"

namespace flicker {

const Entry activation_entries[] = {
    {"activation",
     [](Arguments& in, const Kernels& kernels) {
       const Activation act = in.activation(0);
       const int64_t rows = in.size(4), width = in.size(5);
       const float* x = in.floats(2, rows, width);
       float* out = in.floats(3, rows, width);
       const Draw draw = in.draw(6);
       if (in.ok()) kernels.activation(act, x, out, rows, width, draw);
       return 0.0;
     },
     false},
    {"activationBackward",
     [](Arguments& in, const Kernels& kernels) {
       const Activation act = in.activation(0);
       const int64_t rows = in.size(5), width = in.size(6);
       const float *d_out = in.floats(2, rows, width), *x = in.floats(3, rows, width);
       float* d_x = in.floats(4, rows, width);
       const Draw draw = in.draw(7);
       if (in.ok()) kernels.activation_backward(act, d_out, x, d_x, rows, width, draw);
       return 0.0;
     },
     false},
    {"gate",
     [](Arguments& in, const Kernels& kernels) {
       const Activation act = in.activation(0);
       const int64_t rows = in.size(5), width = in.size(6);
       const float *gate = in.floats(2, rows, width), *up = in.floats(3, rows, width);
       float* out = in.floats(4, rows, width);
       const Draw draw = in.draw(7);
       if (in.ok()) kernels.gate(act, gate, up, out, rows, width, draw);
       return 0.0;
     },
     false},
    {"gateBackward",
     [](Arguments& in, const Kernels& kernels) {
       const Activation act = in.activation(0);
       const int64_t rows = in.size(7), width = in.size(8);
       const float *d_out = in.floats(2, rows, width), *gate = in.floats(3, rows, width),
                   *up = in.floats(4, rows, width);
       float *d_gate = in.floats(5, rows, width), *d_up = in.floats(6, rows, width);
       const Draw draw = in.draw(9);
       if (in.ok()) kernels.gate_backward(act, d_out, gate, up, d_gate, d_up, rows, width, draw);
       return 0.0;
     },
     false},
    {"dRelu",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t n = in.size(3);
       const float *gate = in.floats(0, n), *up = in.floats(1, n);
       float* out = in.floats(2, n);
       if (in.ok()) kernels.drelu(gate, up, out, n);
       return 0.0;
     },
     false},
    {"dReluBackward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t n = in.size(5);
       const float *d_out = in.floats(0, n), *gate = in.floats(1, n), *up = in.floats(2, n);
       float *d_gate = in.floats(3, n), *d_up = in.floats(4, n);
       if (in.ok()) kernels.drelu_backward(d_out, gate, up, d_gate, d_up, n);
       return 0.0;
     },
     false},
    {"programForward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(10), width = in.size(11);
       const ActivationProgram program = in.program(0, width);
       const float *x = in.floats(7, rows, width), *up = in.floats_or_null(8, rows, width);
       float* out = in.floats(9, rows, width);
       const Draw draw = in.draw(12);
       if (in.ok()) kernels.program_forward(program, x, up, out, rows, width, draw);
       return 0.0;
     },
     false},
    {"programBackward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(13), width = in.size(14), neurons = in.size(6);
       const ActivationProgram program = in.program(0, width);
       if (in.ok() && program.code[4] != 2 + program.shared + neurons) in.fail(0, "is not a backward program");
       const float *d_out = in.floats(7, rows, width), *x = in.floats(8, rows, width),
                   *up = in.floats_or_null(9, rows, width);
       float *d_x = in.floats(10, rows, width), *d_up = in.floats_or_null(11, rows, width),
             *d_parameters = in.floats_or_null(12, program.shared + neurons * width, 1);
       if (in.ok() && up != nullptr && d_up == nullptr) in.fail(11, "must be given with up");
       const Draw draw = in.draw(15);
       if (in.ok())
         kernels.program_backward(program, d_out, x, up, d_x, d_up, d_parameters, rows, width, draw);
       return 0.0;
     },
     false},
    {"rowProgramForward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(10), width = in.size(11);
       const RowProgram program = in.row_program(0, width);
       const float *x = in.floats(7, rows, width), *up = in.floats_or_null(8, rows, width);
       float* out = in.floats(9, rows, width);
       const Draw draw = in.draw(12);
       if (in.ok()) kernels.row_program_forward(program, x, up, out, rows, width, draw);
       return 0.0;
     },
     false},
    {"rowProgramBackward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(13), width = in.size(14);
       const RowProgram program = in.row_program(0, width);
       const int64_t learned = program.main.shared + program.neurons;
       if (in.ok()) {
         bool complete = program.main.code[4] == 2 + learned + (program.neighbors ? 2 : 0) + program.statistics;
         for (int s = 0; s < program.statistics; s++)
           complete = complete && (program.derivatives[s] == nullptr || program.derivatives[s][4] == 1 + learned + s);
         if (!complete) in.fail(0, "is not a backward plan");
       }
       const float *d_out = in.floats(7, rows, width), *x = in.floats(8, rows, width),
                   *up = in.floats_or_null(9, rows, width);
       float *d_x = in.floats(10, rows, width), *d_up = in.floats_or_null(11, rows, width),
             *d_parameters = in.floats_or_null(12, program.main.shared + program.neurons * width, 1);
       if (in.ok() && up != nullptr && d_up == nullptr) in.fail(11, "must be given with up");
       const Draw draw = in.draw(15);
       if (in.ok())
         kernels.row_program_backward(program, d_out, x, up, d_x, d_up, d_parameters, rows, width, draw);
       return 0.0;
     },
     false},
    {"rowSelectionForward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(6), width = in.size(7);
       const RowSelection selection = in.row_selection(0, width);
       const float *x = in.floats(3, rows, width), *up = in.floats_or_null(4, rows, width);
       float* out = in.floats(5, rows, width);
       if (in.ok()) kernels.row_selection_forward(selection, x, up, out, rows, width);
       return 0.0;
     },
     false},
    {"rowSelectionBackward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(8), width = in.size(9);
       const RowSelection selection = in.row_selection(0, width);
       const float *d_out = in.floats(3, rows, width), *x = in.floats(4, rows, width),
                   *up = in.floats_or_null(5, rows, width);
       float *d_x = in.floats(6, rows, width), *d_up = in.floats_or_null(7, rows, width);
       if (in.ok() && up != nullptr && d_up == nullptr) in.fail(7, "must be given with up");
       if (in.ok()) kernels.row_selection_backward(selection, d_out, x, up, d_x, d_up, rows, width);
       return 0.0;
     },
     false},
};

}  // namespace flicker
