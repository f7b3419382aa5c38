// What arguments.h needs of the C and C++ libraries, without the rest of them, which would ask the page for files and a
// console: snprintf for the conversions that it uses, and memory for its vectors.
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

/// Without exceptions there is nothing to throw: the module traps, which is an error in JavaScript.
static void* allocated(size_t size) {
  void* memory = malloc(size == 0 ? 1 : size);
  if (memory == nullptr) __builtin_trap();
  return memory;
}
void* operator new(size_t size) { return allocated(size); }
void operator delete(void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }

extern "C" int snprintf(char* to, size_t size, const char* format, ...) {
  va_list values;
  va_start(values, format);
  size_t length = 0;
  const auto put = [&](char c) {
    if (length + 1 < size) to[length] = c;
    length++;
  };
  const auto number = [&](int64_t value) {
    char digits[20];
    int count = 0;
    uint64_t rest = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    do digits[count++] = static_cast<char>('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (value < 0) put('-');
    while (count > 0) put(digits[--count]);
  };
  for (const char* at = format; *at != 0; at++) {
    if (*at != '%') {
      put(*at);
    } else if (at[1] == 's') {
      for (const char* text = va_arg(values, const char*); *text != 0; text++) put(*text);
      at += 1;
    } else if (at[1] == 'z') {  // %zu
      number(static_cast<int64_t>(va_arg(values, size_t)));
      at += 2;
    } else {  // %lld
      number(va_arg(values, long long));
      at += 3;
    }
  }
  if (size > 0) to[length < size ? length : size - 1] = 0;
  va_end(values);
  return static_cast<int>(length);
}
