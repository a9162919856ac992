//! Programs in the kernel: an object of the compiler's, loaded and attached with bpf(2).

pub(crate) mod object;
pub(crate) mod system;
