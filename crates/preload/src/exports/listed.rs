//! execl and its like, whose arguments are a list in the call itself. A list lies in registers and then on the stack; put
//! in one place, it is the array that the others take.

use std::arch::naked_asm;
use std::ffi::{c_char, c_int};

use super::process::{execv, execve, execvp};

/// Puts the arguments after the first one in an array, and calls the function with the first one and the array.
macro_rules! listed {
    ($name:ident, $function:ident) => {
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() -> c_int {
            // Five arguments are in registers; the others are on the stack behind the return address, which makes room.
            #[cfg(target_arch = "x86_64")]
            naked_asm!(
                "pop rax",
                "push r9",
                "push r8",
                "push rcx",
                "push rdx",
                "push rsi",
                "mov rsi, rsp",
                "push rax",
                "call {function}",
                "pop rcx",
                "add rsp, 40",
                "push rcx",
                "ret",
                function = sym $function,
            );
            // Seven are in registers, and the others on the stack.
            #[cfg(target_arch = "aarch64")]
            naked_asm!(
                "sub sp, sp, #80",
                "str x30, [sp]",
                "stp x1, x2, [sp, #24]",
                "stp x3, x4, [sp, #40]",
                "stp x5, x6, [sp, #56]",
                "str x7, [sp, #72]",
                "add x1, sp, #24",
                "bl {function}",
                "ldr x30, [sp]",
                "add sp, sp, #80",
                "ret",
                function = sym $function,
            );
        }
    };
}

listed!(execl, execv);
listed!(execlp, execvp);
listed!(execle, execve_listed);

/// The environment comes after the null that ends the arguments.
unsafe extern "C" fn execve_listed(path: *const c_char, arguments: *const *const c_char) -> c_int {
    let mut at = arguments;
    // SAFETY: the program's list, which has both.
    unsafe {
        while !(*at).is_null() {
            at = at.add(1);
        }
        execve(path, arguments, (*at.add(1)).cast())
    }
}
