#!/bin/sh
# Everything at once on a machine with a GPU: what its driver says, the correctness checks, and the measurements. Needs
# build/gpu-kit (bench/gpu/make-kit.mjs); writes into $OUT (default: build/gpu-out). Takes at most SECONDS_LIMIT seconds.
set -u
cd "$(dirname "$0")/../.."
out=${OUT:-build/gpu-out}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/node_modules/webgpu/dist/linux-x64" "$work/lib"
for name in node dawn.node libvulkan.so.1; do gzip -dc "build/gpu-kit/$name.gz" >"$work/$name" || exit 1; done
chmod +x "$work/node"
mv "$work/dawn.node" "$work/node_modules/webgpu/dist/linux-x64/"
mv "$work/libvulkan.so.1" "$work/lib/"
cp build/gpu-kit/webgpu.js "$work/node_modules/webgpu/index.js"
echo '{"name":"webgpu","version":"0.0.0","type":"module","main":"index.js"}' >"$work/node_modules/webgpu/package.json"
cp build/gpu-kit/measure.mjs build/gpu-kit/package.json "$work/"

export LD_LIBRARY_PATH="$work/lib:${LD_LIBRARY_PATH:-}"

# The description of the driver for the loader: the given one, that of the machine, or one that names NVIDIA's library for
# machines without a display.
finds() {
  export VK_ICD_FILENAMES="$1" VK_DRIVER_FILES="$1"
  (cd "$work" && timeout 30 ./node measure.mjs --info >"$work/info.txt" 2>&1) && grep -q '"fallback"' "$work/info.txt"
}
icd=${VK_ICD_FILENAMES:-}
if [ -z "$icd" ]; then
  echo '{"file_format_version":"1.0.0","ICD":{"library_path":"libEGL_nvidia.so.0","api_version":"1.3.0"}}' >"$work/nvidia_egl.json"
  for file in /usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json /usr/share/vulkan/icd.d/nvidia_icd.json \
    /etc/vulkan/icd.d/nvidia_icd.json "$work/nvidia_egl.json"; do
    [ -e "$file" ] && finds "$file" && icd=$file && break
  done
fi
export VK_ICD_FILENAMES="$icd" VK_DRIVER_FILES="$icd"
export FLICKER_BACKEND=portable

{
  date
  echo "driver description: $icd"
  cat "$icd"
  nvidia-smi 2>&1
  ls -l /dev/nvidia* /usr/share/vulkan/icd.d 2>&1
  "$work/node" --version
} >"$out/machine.txt" 2>&1

(cd "$work" && timeout "${SECONDS_LIMIT:-230}" ./node measure.mjs "$@") 2>&1 | tee "$out/log.txt"
[ -e "$work/results.json" ] && cp "$work/results.json" "$out/"
if ! grep -q '^decode' "$out/log.txt"; then
  # Why no GPU was found: what the loader tried.
  (cd "$work" && VK_LOADER_DEBUG=all timeout 20 ./node measure.mjs --info) >"$out/loader.txt" 2>&1
  tail -40 "$out/loader.txt"
fi
exit 0
