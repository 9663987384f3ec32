/* LD_PRELOAD library under which Debian's xenstored and oxenstored 4.17 run without a hypervisor.
 *
 * Xen's part is played by files in $SHIM_DIR:
 *   ring-N         the shared page of domain N; a domain exists when its page does
 *   evtchn         FIFO, guest to daemon: the port that was signalled, four bytes
 *   notify-PORT    FIFO, daemon to guest: one byte for each signal
 *   socket         stands for /var/run/xenstored/socket, which oxenstored has compiled in
 * The daemons' own code is unmodified. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RUNDIR "/var/run/xenstored"
#define PAGE 4096

static const char *in_dir(char *path, const char *name)
{
	const char *dir = getenv("SHIM_DIR");

	snprintf(path, PATH_MAX, "%s/%s", dir ? dir : ".", name);
	return path;
}

static const char *of_domain(char *path, const char *kind, unsigned number)
{
	char name[64];

	snprintf(name, sizeof(name), "%s-%u", kind, number);
	return in_dir(path, name);
}

/* --- files: the two of dom0's /proc/xen, and the run directory of oxenstored --- */

static const char *redirected(char *path, const char *wanted)
{
	if (strncmp(wanted, RUNDIR, strlen(RUNDIR)))
		return wanted;
	wanted += strlen(RUNDIR);
	return in_dir(path, *wanted == '/' ? wanted + 1 : wanted);
}

int open(const char *wanted, int flags, ...)
{
	static int (*real)(const char *, int, ...);
	char path[PATH_MAX];
	mode_t mode = 0;
	int fd;

	if (!real)
		real = dlsym(RTLD_NEXT, "open");
	if (flags & O_CREAT) {
		va_list args;

		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	if (!strcmp(wanted, "/proc/xen/xsd_port")) {
		fd = real(in_dir(path, "xsd_port"), O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (fd < 0 || write(fd, "1", 1) != 1)
			abort();
		close(fd);
		return real(path, O_RDONLY);
	}
	if (!strcmp(wanted, "/proc/xen/xsd_kva")) {
		fd = real(in_dir(path, "ring-0"), O_RDWR | O_CREAT, 0600);
		if (fd < 0 || ftruncate(fd, PAGE))
			abort();
		return fd;
	}
	return real(wanted, flags, mode);
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	static int (*real)(int, const struct sockaddr *, socklen_t);
	struct sockaddr_un unix_address;
	char path[PATH_MAX];

	if (!real)
		real = dlsym(RTLD_NEXT, "bind");
	if (address->sa_family != AF_UNIX || length > sizeof(unix_address))
		return real(fd, address, length);
	memset(&unix_address, 0, sizeof(unix_address));
	memcpy(&unix_address, address, length);
	snprintf(unix_address.sun_path, sizeof(unix_address.sun_path), "%s",
		 redirected(path, ((const struct sockaddr_un *)address)->sun_path));
	return real(fd, (struct sockaddr *)&unix_address, sizeof(unix_address));
}

int unlink(const char *wanted)
{
	static int (*real)(const char *);
	char path[PATH_MAX];

	if (!real)
		real = dlsym(RTLD_NEXT, "unlink");
	return real(redirected(path, wanted));
}

int mkdir(const char *wanted, mode_t mode)
{
	static int (*real)(const char *, mode_t);
	char path[PATH_MAX];

	if (!real)
		real = dlsym(RTLD_NEXT, "mkdir");
	return real(redirected(path, wanted), mode);
}

/* oxenstored raises its limit of open files, which a container may not */
int setrlimit(int resource, const void *limit)
{
	return 0;
}

int setrlimit64(int resource, const void *limit)
{
	return 0;
}

/* --- libxenctrl, libxengnttab: the domains and their pages --- */

static void *page_of(unsigned domain)
{
	char path[PATH_MAX];
	void *page;
	int fd = open(of_domain(path, "ring", domain), O_RDWR);

	if (fd < 0)
		return NULL;
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return page == MAP_FAILED ? NULL : page;
}

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags)
{
	return (void *)1;
}

int xc_interface_close(void *handle)
{
	return 0;
}

/* struct xc_dominfo of 4.17 begins with the domain id, a security label and bits; bit 5 means running */
int xc_domain_getinfo(void *handle, uint32_t first, unsigned max, uint32_t *info)
{
	char path[PATH_MAX];
	struct stat found;

	if (stat(of_domain(path, "ring", first), &found))
		return 0;
	info[0] = first;
	info[1] = 0;
	info[2] = 1u << 5;
	return 1;
}

void *xc_map_foreign_range(void *handle, uint32_t domain, int size, int protection, unsigned long frame)
{
	return page_of(domain);
}

void *xengnttab_open(void *logger, unsigned flags)
{
	return (void *)1;
}

int xengnttab_close(void *handle)
{
	return 0;
}

int xengnttab_set_max_grants(void *handle, uint32_t count)
{
	return 0;
}

void *xengnttab_map_grant_ref(void *handle, uint32_t domain, uint32_t ref, int protection)
{
	return page_of(domain);
}

int xengnttab_unmap(void *handle, void *address, uint32_t count)
{
	return munmap(address, PAGE);
}

/* --- libxenevtchn: the local port has the number of the remote one --- */

static int events(void)
{
	static int fd = -1;
	char path[PATH_MAX];

	if (fd < 0) {
		mkfifo(in_dir(path, "evtchn"), 0600);
		fd = open(path, O_RDWR | O_NONBLOCK);
	}
	return fd;
}

void *xenevtchn_open(void *logger, unsigned flags)
{
	events();
	return (void *)1;
}

void *xenevtchn_fdopen(void *logger, int fd, unsigned flags)
{
	events();
	return (void *)1;
}

int xenevtchn_close(void *handle)
{
	return 0;
}

int xenevtchn_fd(void *handle)
{
	return events();
}

int xenevtchn_bind_interdomain(void *handle, uint32_t domain, uint32_t port)
{
	char path[PATH_MAX];

	mkfifo(of_domain(path, "notify", port), 0600);
	return port;
}

int xenevtchn_bind_virq(void *handle, unsigned virq)
{
	return 2;
}

int xenevtchn_unbind(void *handle, uint32_t port)
{
	return 0;
}

int xenevtchn_unmask(void *handle, uint32_t port)
{
	return 0;
}

int xenevtchn_pending(void *handle)
{
	uint32_t port;

	return read(events(), &port, sizeof(port)) == sizeof(port) ? (int)port : -1;
}

int xenevtchn_notify(void *handle, uint32_t port)
{
	char path[PATH_MAX];
	int fd = open(of_domain(path, "notify", port), O_WRONLY | O_NONBLOCK);

	/* A full FIFO wakes the guest as well as one more byte would. */
	if (fd >= 0) {
		if (write(fd, "x", 1) < 0 && errno != EAGAIN)
			perror("notify");
		close(fd);
	}
	return 0;
}
