/* void *dlopen (const char *file, int mode)
   void *dlmopen (Lmid_t scope, const char *file, int mode)
   and spark_inner_dlopen, spark_inner_dlmopen: what the C library's own names lead to for callers that pass us by (inner.c).

   Everything but the driver's libraries leaves here by a jump, not a call: glibc takes the identity of whoever called dlopen (its
   RUNPATH, $ORIGIN and link namespace) from the return address, and a jump leaves the caller's own there. The redirect gets the
   arguments and the return address, and returns a handle or NULL. */
#if defined __x86_64__
#include <cet.h>
	.macro	OPEN name, caller_register, redirect, real
	.globl	\name
	.type	\name, @function
	.p2align 4
\name:
	.cfi_startproc
	_CET_ENDBR
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	pushq	%rdx
	.cfi_adjust_cfa_offset 8
	movq	24(%rsp), %\caller_register
	call	\redirect
	popq	%rdx
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	testq	%rax, %rax
	jne	1f
	jmp	*\real(%rip)
1:	ret
	.cfi_endproc
	.size	\name, .-\name
	.endm
#define CALLER_IS_THIRD rdx
#define CALLER_IS_FOURTH rcx
#elif defined __aarch64__
	.macro	OPEN name, caller_register, redirect, real
	.globl	\name
	.type	\name, %function
	.p2align 4
\name:
	.cfi_startproc
	hint	#34			/* bti c */
	stp	x29, x30, [sp, #-48]!
	.cfi_def_cfa_offset 48
	.cfi_offset 29, -48
	.cfi_offset 30, -40
	mov	x29, sp
	stp	x0, x1, [sp, #16]
	str	x2, [sp, #32]
	mov	\caller_register, x30
	bl	\redirect
	mov	x9, x0
	ldp	x0, x1, [sp, #16]
	ldr	x2, [sp, #32]
	ldp	x29, x30, [sp], #48
	.cfi_restore 29
	.cfi_restore 30
	.cfi_def_cfa_offset 0
	cbnz	x9, 1f
	adrp	x16, \real
	ldr	x16, [x16, #:lo12:\real]
	br	x16			/* by x16: allowed to land on "bti c" */
1:	mov	x0, x9
	ret
	.cfi_endproc
	.size	\name, .-\name
	.endm
#define CALLER_IS_THIRD x2
#define CALLER_IS_FOURTH x3
#endif
	.text
	.hidden	spark_inner_dlopen, spark_inner_dlmopen
	OPEN	dlopen, CALLER_IS_THIRD, spark_dlopen_redirect, spark_real_dlopen
	OPEN	dlmopen, CALLER_IS_FOURTH, spark_dlmopen_redirect, spark_real_dlmopen
	OPEN	spark_inner_dlopen, CALLER_IS_THIRD, spark_inner_dlopen_redirect, spark_libc_dlopen
	OPEN	spark_inner_dlmopen, CALLER_IS_FOURTH, spark_inner_dlmopen_redirect, spark_libc_dlmopen
#ifdef __aarch64__
	/* GNU property: this object keeps to BTI, like the compiled ones (AArch64 ELF ABI, GNU_PROPERTY_AARCH64_FEATURE_1_AND). */
	.section .note.gnu.property, "a"
	.p2align 3
	.word	4, 16, 5
	.asciz	"GNU"
	.word	0xc0000000, 4, 3, 0
#endif
	.section .note.GNU-stack, "", %progbits
