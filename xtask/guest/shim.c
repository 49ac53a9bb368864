/*
 * Laid under User-Mode Linux with LD_PRELOAD: it stands between that kernel and ptrace(2), for two
 * things that Debian's 6.1 does not do itself.
 *
 * Kill: every process of the guest is a process of the host that UML holds by ptrace. Without
 * PTRACE_O_EXITKILL they run on, free and with the host's own system calls, when UML is killed.
 *
 * Registers: UML keeps 2696 bytes of a process's extended registers. A processor with more (AMX)
 * refuses to have a part of them set, and the guest's first process dies. So the missing part is
 * taken from what the process has at that moment, and all of it is set.
 */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* The request's number before PTRACE_SETOPTIONS had one for all architectures: UML uses it. */
#define PTRACE_OLDSETOPTIONS 21

/* The XSAVE header follows the legacy area; its first word says which components are in use. */
#define XSTATE_HEADER 512
/* x87, SSE, AVX, MPX, AVX-512 and PKRU: the components that fit into what UML keeps. */
#define COMPONENTS_KEPT UINT64_C(0x3ff)

/* Larger than any processor's register state so far (AMX: about 11 KiB). */
static unsigned char whole[64 * 1024];

static long pass(long request, long process, void *address, void *data)
{
	return syscall(SYS_ptrace, request, process, address, data);
}

static long set_registers(long process, void *set, const struct iovec *kept)
{
	static int enough; /* what UML keeps is all there is: known after the first time */
	struct iovec all = { whole, sizeof whole };
	uint64_t before, components;

	if (!enough) {
		if (pass(PTRACE_GETREGSET, process, set, &all) < 0)
			return -1;
		enough = kept->iov_len >= all.iov_len;
	}
	if (enough)
		return pass(PTRACE_SETREGSET, process, set, (void *)kept);
	memcpy(&before, whole + XSTATE_HEADER, sizeof before);
	memcpy(whole, kept->iov_base, kept->iov_len);
	memcpy(&components, whole + XSTATE_HEADER, sizeof components);
	components = (components & COMPONENTS_KEPT) | (before & ~COMPONENTS_KEPT);
	memcpy(whole + XSTATE_HEADER, &components, sizeof components);
	return pass(PTRACE_SETREGSET, process, set, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list rest;
	long process, result;
	void *address, *data;

	va_start(rest, request);
	process = va_arg(rest, pid_t);
	address = va_arg(rest, void *);
	data = va_arg(rest, void *);
	va_end(rest);

	switch ((long)request) {
	case PTRACE_PEEKTEXT:
	case PTRACE_PEEKDATA:
	case PTRACE_PEEKUSER:
		/* The system call stores the word, the function of the C library returns it. */
		if (pass(request, process, address, &result) < 0)
			return -1;
		errno = 0;
		return result;
	case PTRACE_OLDSETOPTIONS:
	case PTRACE_SETOPTIONS:
		data = (void *)((uintptr_t)data | PTRACE_O_EXITKILL);
		break;
	case PTRACE_SETREGSET:
		if (address == (void *)NT_X86_XSTATE)
			return set_registers(process, address, data);
		break;
	}
	return pass(request, process, address, data);
}
