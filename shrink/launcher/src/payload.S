/* The packed program, in the launcher's own memory: the launcher finds it without opening a file. */
	.section .rodata
	.balign 4
	.global payload
	.hidden payload
payload:
	.incbin "payload"
	.global payload_end
	.hidden payload_end
payload_end:
	.section .note.GNU-stack, "", %progbits
