/*
 * resolver.c
 *    A getaddrinfo that takes its time for names under slow.test, put before the system's with LD_PRELOAD.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

/* Longer than any test waits. */
#define LOOKUP_S 60

typedef int (*Lookup) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	Lookup		real = (Lookup) dlsym(RTLD_NEXT, "getaddrinfo");

	if (node && strstr(node, "slow.test") && !(hints && (hints->ai_flags & AI_NUMERICHOST)))
	{
		sleep(LOOKUP_S);
		return EAI_AGAIN;
	}
	return real(node, service, hints, found);
}
