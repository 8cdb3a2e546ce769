/* void *dlopen (const char *file, int mode)

   Everything but the driver's libraries leaves here by a jump, not a call: glibc takes the identity of whoever called dlopen (its
   RUNPATH, $ORIGIN and link namespace) from the return address, and a jump leaves the caller's own there. */
#if defined __x86_64__
#include <cet.h>
	.text
	.globl	dlopen
	.type	dlopen, @function
	.p2align 4
dlopen:
	.cfi_startproc
	_CET_ENDBR
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	movq	24(%rsp), %rdx
	call	spark_dlopen_redirect
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	testq	%rax, %rax
	jne	1f
	jmp	*spark_real_dlopen(%rip)
1:	ret
	.cfi_endproc
	.size	dlopen, .-dlopen
#elif defined __aarch64__
	.text
	.globl	dlopen
	.type	dlopen, %function
	.p2align 4
dlopen:
	.cfi_startproc
	hint	#34			/* bti c */
	stp	x29, x30, [sp, #-32]!
	.cfi_def_cfa_offset 32
	.cfi_offset 29, -32
	.cfi_offset 30, -24
	mov	x29, sp
	stp	x0, x1, [sp, #16]
	mov	x2, x30
	bl	spark_dlopen_redirect
	mov	x9, x0
	ldp	x0, x1, [sp, #16]
	ldp	x29, x30, [sp], #32
	.cfi_restore 29
	.cfi_restore 30
	.cfi_def_cfa_offset 0
	cbnz	x9, 1f
	adrp	x16, spark_real_dlopen
	ldr	x16, [x16, #:lo12:spark_real_dlopen]
	br	x16			/* by x16: allowed to land on "bti c" */
1:	mov	x0, x9
	ret
	.cfi_endproc
	.size	dlopen, .-dlopen
	/* GNU property: this object keeps to BTI, like the compiled ones (AArch64 ELF ABI, GNU_PROPERTY_AARCH64_FEATURE_1_AND). */
	.section .note.gnu.property, "a"
	.p2align 3
	.word	4, 16, 5
	.asciz	"GNU"
	.word	0xc0000000, 4, 3, 0
#endif
	.section .note.GNU-stack, "", %progbits
