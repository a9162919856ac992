#!/bin/sh
# Compiles the BPF programs beside their sources, or into the directory that is named. The same compiler
# makes the same octets wherever it runs: no debug information, no identification, no paths. The committed
# objects were made by clang 14 (Debian 12).
set -eu
cd "$(dirname "$0")"
target=${1:-.}
for source in *.bpf.c; do
	"${CLANG:-clang}" -target bpfel -mcpu=v3 -O2 -std=gnu11 -ffreestanding -fno-ident -Wall -Wextra -Werror \
		-c "$source" -o "$target/${source%.c}.o"
done
