/*
 * Tries one act that a jail must refuse, and says what came of it. The tests run it from a hostile plugin.
 *
 *   attack <act> [arguments]     prints exactly one line of JSON and exits with 0, whatever happened:
 *   {"act":"…","succeeded":true|false,"errno":"EPERM"|null,"detail":"…"}
 *   attack list                  prints the acts, one per line
 *
 * `succeeded` is the attacker's view: true means that the wall is missing. Acts that would harm the machine outside of
 * a jail are not even tried unless `no_new_privs` is set, which every jail does; their line then says "NOT_JAILED", so
 * that nobody takes it for a wall.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/vm_sockets.h>
#include <mqueue.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSTEM_CALLS 512
#define X32_BIT 0x40000000

static const char *act;
/* Keeps what the act gained until standard input ends, after the line is out. */
static bool linger;

/* ---- The one line of output ---- */

static void print_escaped(const char *text) {
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') printf("\\%c", *c);
        else if (*c < 0x20 || *c >= 0x7f) printf("\\u%04x", *c);
        else putchar(*c);
    }
}

__attribute__((noreturn)) static void report(bool succeeded, const char *error, const char *format, va_list arguments) {
    char detail[8192];
    vsnprintf(detail, sizeof detail, format, arguments);
    printf("{\"act\":\"");
    print_escaped(act);
    printf("\",\"succeeded\":%s,\"errno\":", succeeded ? "true" : "false");
    if (error) printf("\"%s\"", error); else printf("null");
    printf(",\"detail\":\"");
    print_escaped(detail);
    printf("\"}\n");
    fflush(stdout);
    char byte;
    while (linger && read(0, &byte, 1) > 0) continue;
    _exit(0);
}

__attribute__((noreturn, format(printf, 1, 2))) static void succeeded(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    report(true, NULL, format, arguments);
}

/* Reports the present `errno`. */
__attribute__((noreturn, format(printf, 1, 2))) static void refused(const char *format, ...) {
    const char *name = strerrorname_np(errno);
    va_list arguments;
    va_start(arguments, format);
    report(false, name ? name : "UNKNOWN", format, arguments);
}

/* For a failure that is none of the kernel's, `error` may be a word of ours or NULL. */
__attribute__((noreturn, format(printf, 2, 3))) static void failed(const char *error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    report(false, error, format, arguments);
}

/* ---- Arguments ---- */

static const char *text(char **arguments, int index) {
    for (int i = 0; i <= index; i++)
        if (!arguments[i]) failed("USAGE", "argument %d is missing", index + 1);
    return arguments[index];
}

static long number(char **arguments, int index) {
    const char *value = text(arguments, index);
    char *end;
    long result = strtol(value, &end, 0);
    if (*value == '\0' || *end != '\0') failed("USAGE", "argument %d is not a number", index + 1);
    return result;
}

static void only_jailed(void) {
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        failed("NOT_JAILED", "not tried: no_new_privs is off, so this is no jail");
}

/* ---- Other processes ---- */

static void ptrace_attach(char **a) {
    pid_t pid = (pid_t)number(a, 0);
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == -1) refused("PTRACE_SEIZE %d", pid);
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    succeeded("seized %d", pid);
}

/* The first readable mapping of a process, for the two acts that read its memory. */
static unsigned long first_mapping(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    if (!maps) return 0;
    unsigned long start = 0;
    if (fscanf(maps, "%lx", &start) != 1) start = 0;
    fclose(maps);
    return start;
}

static void vm_read(char **a) {
    pid_t pid = (pid_t)number(a, 0);
    unsigned long start = first_mapping(pid);
    char buffer[4] = {0};
    struct iovec local = {buffer, sizeof buffer};
    struct iovec remote = {(void *)(start ? start : 0x400000), sizeof buffer};
    ssize_t count = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    /* A wrong address says that the way was open. */
    if (count == -1 && errno != EFAULT) refused("process_vm_readv %d", pid);
    succeeded("read %zd bytes of %d", count, pid);
}

static void vm_write(char **a) {
    pid_t pid = (pid_t)number(a, 0);
    char nothing = 0;
    struct iovec local = {&nothing, 1}, remote = {(void *)8, 1};
    /* The address is never mapped: EFAULT means that the kernel would have written. */
    if (process_vm_writev(pid, &local, 1, &remote, 1, 0) == -1 && errno != EFAULT) refused("process_vm_writev %d", pid);
    succeeded("may write to %d", pid);
}

static void pidfd_getfd_of(char **a) {
    pid_t pid = (pid_t)number(a, 0);
    int fd = (int)number(a, 1);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd == -1) refused("pidfd_open %d", pid);
    int got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    if (got == -1) refused("pidfd_getfd %d of %d", fd, pid);
    succeeded("took descriptor %d of %d", fd, pid);
}

static void read_mem(char **a) {
    pid_t pid = (pid_t)number(a, 0);
    char path[64], buffer[4];
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) refused("open %s", path);
    unsigned long start = first_mapping(pid);
    if (pread(fd, buffer, sizeof buffer, (off_t)start) != sizeof buffer) refused("read %s", path);
    succeeded("read %s", path);
}

/* Any file or link of another process: environ, cmdline, root, fd/3, … */
static void read_proc(char **a) {
    pid_t pid = (pid_t)number(a, 0);
    char path[256], buffer[4096];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, text(a, 1));
    ssize_t count = readlink(path, buffer, sizeof buffer - 1);
    if (count == -1 && errno == EINVAL) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd == -1) refused("open %s", path);
        count = read(fd, buffer, sizeof buffer - 1);
    }
    if (count == -1) refused("read %s", path);
    if (count == 0) failed(NULL, "%s is empty", path);
    for (ssize_t i = 0; i < count; i++) if (buffer[i] == '\0') buffer[i] = ' ';
    buffer[count] = '\0';
    succeeded("%s", buffer);
}

static void kill_one(char **a) {
    pid_t pid = (pid_t)number(a, 0);
    int sig = (int)number(a, 1);
    if (kill(pid, sig) == -1) refused("kill %d with %d", pid, sig);
    succeeded("sent %d to %d", sig, pid);
}

/* Says which processes took the signal. They include those of the attacker's own jail, its init for one. */
static void kill_all(char **a) {
    int sig = (int)number(a, 0);
    only_jailed();
    char list[4096];
    size_t used = 0;
    int hit = 0, first_error = 0;
    list[0] = '\0';
    for (pid_t pid = 1; pid <= 65535; pid++) {
        if (pid == getpid() || pid == getppid()) continue;
        if (kill(pid, sig) == 0) {
            hit++;
            if (used + 16 < sizeof list) used += (size_t)snprintf(list + used, sizeof list - used, " %d", pid);
        } else if (errno != ESRCH && first_error == 0) {
            first_error = errno;
        }
    }
    if (hit) succeeded("%d took it:%s", hit, list);
    errno = first_error ? first_error : ESRCH;
    refused("nobody took it");
}

/* Limits, priority and processors of another process need no more than the same user. */
static void prlimit_of(char **a) {
    pid_t pid = (pid_t)number(a, 0);
    struct rlimit old;
    if (prlimit(pid, RLIMIT_NOFILE, NULL, &old) == -1) refused("read limits of %d", pid);
    /* Writes back what it read. */
    if (prlimit(pid, RLIMIT_NOFILE, &old, NULL) == -1) refused("set limits of %d", pid);
    succeeded("set limits of %d", pid);
}

static void renice(char **a) {
    pid_t pid = (pid_t)number(a, 0);
    errno = 0;
    int now = getpriority(PRIO_PROCESS, (id_t)pid);
    if (now == -1 && errno) refused("read priority of %d", pid);
    if (setpriority(PRIO_PROCESS, (id_t)pid, now) == -1) refused("set priority of %d", pid);
    succeeded("set priority of %d", pid);
}

static void pin(char **a) {
    pid_t pid = (pid_t)number(a, 0);
    cpu_set_t set;
    if (sched_getaffinity(pid, sizeof set, &set) == -1) refused("read processors of %d", pid);
    if (sched_setaffinity(pid, sizeof set, &set) == -1) refused("set processors of %d", pid);
    succeeded("set processors of %d", pid);
}

static void kcmp_with(char **a) {
    pid_t pid = a[0] ? (pid_t)number(a, 0) : getppid();
    long result = syscall(SYS_kcmp, getpid(), pid, 1 /* KCMP_VM */, 0, 0);
    if (result == -1) refused("kcmp with %d", pid);
    succeeded("compared with %d: %ld", pid, result);
}

/* ---- Sockets ---- */

static void unix_to(const struct sockaddr_un *address, socklen_t length, const char *name) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1) refused("socket");
    if (connect(fd, (const struct sockaddr *)address, length) == -1) refused("connect to %s", name);
    succeeded("connected to %s", name);
}

static void abstract_connect(char **a) {
    const char *name = text(a, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    if (length > sizeof address.sun_path - 1) failed("USAGE", "the name is too long");
    memcpy(address.sun_path + 1, name, length);
    unix_to(&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length), name);
}

static void unix_connect(char **a) {
    const char *path = text(a, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) failed("USAGE", "the path is too long");
    memcpy(address.sun_path, path, strlen(path) + 1);
    unix_to(&address, sizeof address, path);
}

static socklen_t internet_address(char **a, struct sockaddr_storage *address) {
    const char *host = text(a, 0);
    in_port_t port = htons((uint16_t)number(a, 1));
    memset(address, 0, sizeof *address);
    struct sockaddr_in *four = (struct sockaddr_in *)address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = port;
        return sizeof *four;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = port;
        return sizeof *six;
    }
    failed("USAGE", "`%s` is no address", host);
}

static void tcp_connect(char **a) {
    struct sockaddr_storage address;
    socklen_t length = internet_address(a, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1) refused("socket");
    if (connect(fd, (struct sockaddr *)&address, length) == -1) {
        if (errno != EINPROGRESS) refused("connect to %s", a[0]);
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        if (poll(&ready, 1, 2000) == 0) {
            errno = ETIMEDOUT;
            refused("connect to %s: no answer in 2 s", a[0]);
        }
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        errno = error;
        if (error) refused("connect to %s", a[0]);
    }
    succeeded("connected to %s port %s", a[0], a[1]);
}

static void tcp_listen(char **a) {
    struct sockaddr_storage address;
    socklen_t length = internet_address(a, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1) refused("socket");
    if (bind(fd, (struct sockaddr *)&address, length) == -1) refused("bind to %s", a[0]);
    if (listen(fd, 1) == -1) refused("listen on %s", a[0]);
    succeeded("listened on %s port %s", a[0], a[1]);
}

static void udp_send(char **a) {
    struct sockaddr_storage address;
    socklen_t length = internet_address(a, &address);
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd == -1) refused("socket");
    if (sendto(fd, "canary", 6, 0, (struct sockaddr *)&address, length) == -1) refused("send to %s", a[0]);
    succeeded("sent to %s port %s", a[0], a[1]);
}

static void open_socket(int family, int type, int protocol) {
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);
    if (fd == -1) refused("socket(%d, %d, %d)", family, type, protocol);
    succeeded("socket(%d, %d, %d)", family, type, protocol);
}

static void raw_icmp(char **a) { (void)a; open_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); }
static void ping_socket(char **a) { (void)a; open_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP); }
static void sctp(char **a) { (void)a; open_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP); }
static void mptcp(char **a) { (void)a; open_socket(AF_INET, SOCK_STREAM, 262); }
static void packet(char **a) { (void)a; open_socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)); }
static void old_packet(char **a) { (void)a; open_socket(AF_INET, SOCK_PACKET, htons(ETH_P_ALL)); }
static void vsock(char **a) { (void)a; open_socket(AF_VSOCK, SOCK_STREAM, 0); }
static void netfilter(char **a) { (void)a; open_socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER); }
static void audit(char **a) { (void)a; open_socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT); }
static void alg(char **a) { (void)a; open_socket(AF_ALG, SOCK_SEQPACKET, 0); }
static void bluetooth(char **a) { (void)a; open_socket(AF_BLUETOOTH, SOCK_RAW, 1); }
static void any_socket(char **a) { open_socket((int)number(a, 0), (int)number(a, 1), (int)number(a, 2)); }

/* ---- Namespaces and mounts ---- */

static void new_namespace(int flag, const char *name) {
    /* By `unshare`, then by `clone`, in a child that ends at once. */
    pid_t child = fork();
    if (child == -1) refused("fork");
    if (child == 0) _exit(unshare(flag) == 0 ? 0 : errno);
    int status;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) succeeded("unshared the %s namespace", name);
    int first = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    long pid = syscall(SYS_clone, (unsigned long)flag | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    if (pid > 0) {
        waitpid((pid_t)pid, &status, 0);
        succeeded("cloned into a new %s namespace", name);
    }
    errno = first;
    refused("new %s namespace", name);
}

static void unshare_user(char **a) { (void)a; new_namespace(CLONE_NEWUSER, "user"); }
static void unshare_mount(char **a) { (void)a; new_namespace(CLONE_NEWNS, "mount"); }
static void unshare_net(char **a) { (void)a; new_namespace(CLONE_NEWNET, "network"); }

static void mount_tmpfs(char **a) {
    const char *path = text(a, 0);
    only_jailed();
    if (mount("attack", path, "tmpfs", 0, NULL) == -1) refused("mount on %s", path);
    umount2(path, MNT_DETACH);
    succeeded("mounted a tmpfs on %s", path);
}

/* Lifts read-only off a mount. */
static void remount(char **a) {
    const char *path = text(a, 0);
    only_jailed();
    if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND, NULL) == -1) refused("remount %s", path);
    succeeded("remounted %s", path);
}

static void unmount(char **a) {
    const char *path = text(a, 0);
    only_jailed();
    if (umount2(path, MNT_DETACH) == -1) refused("unmount %s", path);
    succeeded("unmounted %s", path);
}

static void pivot(char **a) {
    (void)a;
    only_jailed();
    if (syscall(SYS_pivot_root, "/tmp", "/tmp") == -1) refused("pivot_root");
    succeeded("pivot_root");
}

static void change_root(char **a) {
    const char *path = text(a, 0);
    only_jailed();
    if (chroot(path) == -1) refused("chroot %s", path);
    succeeded("chroot %s", path);
}

static void enter_namespace(char **a) {
    pid_t pid = (pid_t)number(a, 0);
    only_jailed();
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd == -1) refused("pidfd_open %d", pid);
    if (setns(pidfd, CLONE_NEWUSER | CLONE_NEWNS) == -1 && setns(pidfd, CLONE_NEWNET) == -1) refused("setns %d", pid);
    succeeded("entered the namespaces of %d", pid);
}

/* ---- The surface of the kernel ---- */

/* What one raw call with every argument -1 answers, found out in a child, which the call may kill or block. */
enum { ANSWER_KILLED = -1, ANSWER_BLOCKED = -2, ANSWER_LOST = -3 };

static int answer(long call) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) == -1) return ANSWER_LOST;
    pid_t child = fork();
    if (child == -1) {
        close(ends[0]);
        close(ends[1]);
        return ANSWER_LOST;
    }
    if (child == 0) {
        int code = 0;
        if (syscall(call, -1L, -1L, -1L, -1L, -1L, -1L) == -1) code = errno;
        /* A call that forked comes back twice; both write the same, and the first answer counts. */
        if (write(ends[1], &code, sizeof code) == -1) _exit(1);
        _exit(0);
    }
    close(ends[1]);
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};
    int result = ANSWER_KILLED, code;
    if (poll(&ready, 1, 1000) == 0) result = ANSWER_BLOCKED;
    else if (read(ends[0], &code, sizeof code) == sizeof code) result = code;
    close(ends[0]);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return result;
}

static void system_call(char **a) {
    long call = number(a, 0);
    only_jailed();
    int code = answer(call);
    if (code == ANSWER_KILLED) failed("KILLED", "system call %ld killed the process", call);
    if (code == ANSWER_BLOCKED) succeeded("system call %ld blocked", call);
    if (code == ANSWER_LOST) refused("cannot fork for system call %ld", call);
    if (code == 0) succeeded("system call %ld", call);
    errno = code;
    /* Any answer but these two comes from behind the filter. */
    if (code == EPERM || code == ENOSYS) refused("system call %ld", call);
    succeeded("system call %ld got through to its arguments: %s", call, strerrorname_np(code));
}

/*
 * The file holds one number per line, then whatever explains it; `#` starts a comment. These are skipped. Of all others
 * the detail lists those that got through as `number:ERRNO`. x32 has the same calls under other numbers, of which the
 * file allows none.
 */
static void system_call_scan(char **a) {
    static bool allowed[SYSTEM_CALLS];
    const char *path = text(a, 0);
    only_jailed();
    FILE *list = fopen(path, "re");
    if (!list) refused("open %s", path);
    char line[256];
    int reviewed = 0;
    while (fgets(line, sizeof line, list)) {
        char *end;
        long call = strtol(line, &end, 10);
        if (end != line && call >= 0 && call < SYSTEM_CALLS) {
            allowed[call] = true;
            reviewed++;
        }
    }
    fclose(list);
    if (reviewed == 0) failed("USAGE", "%s names no system call", path);

    char through[4096];
    size_t used = 0;
    int count = 0, lost = 0;
    through[0] = '\0';
    for (long index = 0; index < 2 * SYSTEM_CALLS; index++) {
        bool x32 = index >= SYSTEM_CALLS;
        long call = x32 ? (index - SYSTEM_CALLS) | X32_BIT : index;
        /* A second life of the calls that fork or end a process tells nothing, and x32 has no other filter. */
        if (!x32 && allowed[index]) continue;
        int code = answer(call);
        if (code == EPERM || code == ENOSYS || code == ANSWER_KILLED) continue;
        if (code == ANSWER_LOST) {
            lost++;
            continue;
        }
        count++;
        const char *name = code == ANSWER_BLOCKED ? "BLOCKED" : code == 0 ? "OK" : strerrorname_np(code);
        if (used + 40 < sizeof through)
            used += (size_t)snprintf(through + used, sizeof through - used, " %s%ld:%s", x32 ? "x32-" : "",
                                     x32 ? index - SYSTEM_CALLS : index, name ? name : "UNKNOWN");
    }
    if (lost) failed("INCOMPLETE", "could not fork for %d calls; got through:%s", lost, through);
    if (count) succeeded("%d got through:%s", count, through);
    failed(NULL, "none but the %d reviewed", reviewed);
}

/* The 32-bit door, which has its own numbers. */
static void int80(char **a) {
    (void)a;
#ifdef __x86_64__
    pid_t child = fork();
    if (child == -1) refused("fork");
    if (child == 0) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(20 /* getpid */) : "memory", "r8", "r9", "r10", "r11");
        _exit(result > 0 ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) succeeded("getpid by int 0x80");
    if (WIFSIGNALED(status)) failed("KILLED", "signal %d", WTERMSIG(status));
    failed("ENOSYS", "the kernel has no 32-bit calls");
#else
    failed("ENOSYS", "another machine");
#endif
}

static void io_uring(char **a) {
    (void)a;
    char parameters[120] = {0};
    if (syscall(SYS_io_uring_setup, 1, parameters) == -1) refused("io_uring_setup");
    succeeded("io_uring_setup");
}

static void bpf(char **a) {
    (void)a;
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = attributes.value_size = 4;
    attributes.max_entries = 1;
    if (syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes) == -1) refused("bpf");
    succeeded("made a map");
}

static void userfaultfd(char **a) {
    (void)a;
    if (syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* user mode only */) == -1) refused("userfaultfd");
    succeeded("userfaultfd");
}

static void perf(char **a) {
    (void)a;
    struct perf_event_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_SW_TASK_CLOCK;
    attributes.exclude_kernel = attributes.exclude_hv = 1;
    if (syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0) == -1) refused("perf_event_open");
    succeeded("perf_event_open");
}

static void keyctl(char **a) {
    (void)a;
    /* KEYCTL_GET_KEYRING_ID of the user's keyring, which all processes of a user share. */
    if (syscall(SYS_keyctl, 0, -4, 1) == -1) refused("keyctl");
    succeeded("keyctl");
}

static void modify_ldt(char **a) {
    (void)a;
    char buffer[64];
    /* Unlike other calls this one may give its error back as a 32-bit number. */
    if ((int)syscall(SYS_modify_ldt, 0, buffer, sizeof buffer) < 0) refused("modify_ldt");
    succeeded("modify_ldt");
}

static void open_by_handle(char **a) {
    (void)a;
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } own = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
    int mount_id;
    bool named = name_to_handle_at(AT_FDCWD, "/tmp", &own.handle, &mount_id, 0) == 0;
    int named_errno = errno;
    if (!named) own.handle.handle_bytes = 8;
    int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder == -1) refused("open /");
    if (open_by_handle_at(folder, &own.handle, O_RDONLY) == -1) {
        if (named) {
            int code = errno;
            const char *name = strerrorname_np(code);
            failed(name, "name_to_handle_at worked, open_by_handle_at did not");
        }
        errno = errno == EPERM ? EPERM : named_errno;
        refused("open_by_handle_at");
    }
    succeeded("open_by_handle_at");
}

static void personality_change(char **a) {
    (void)a;
    /* ADDR_NO_RANDOMIZE */
    if (syscall(SYS_personality, 0x0040000) == -1) refused("personality");
    succeeded("switched address randomization off");
}

static void ambient(char **a) {
    (void)a;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1) refused("PR_CAP_AMBIENT");
    succeeded("PR_CAP_AMBIENT");
}

static void tiocsti(char **a) {
    (void)a;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    int terminal = fd == -1 ? 0 : fd;
    char byte = ' ';
    /* The kernel looks at the low 32 bits only, so a filter that looks at all 64 can be passed by. */
    if (syscall(SYS_ioctl, terminal, TIOCSTI, &byte) == 0) succeeded("typed into the terminal");
    int plain = errno;
    if (syscall(SYS_ioctl, terminal, TIOCSTI | (1UL << 32), &byte) == 0) succeeded("typed with a high bit");
    if (errno != plain) failed(strerrorname_np(errno), "a high bit changes the answer from %s", strerrorname_np(plain));
    refused("TIOCSTI");
}

static void mknod_device(char **a) {
    const char *path = text(a, 0);
    /* Device 0:0 is an overlay's whiteout, which needs no privilege. */
    if (mknod(path, S_IFCHR | 0600, 0) == -1) refused("mknod %s", path);
    unlink(path);
    succeeded("made a device node at %s", path);
}

/* ---- Executing what was not installed ---- */

/* Runs a program; in the child `run` is not to return. Says what came out. */
static void run_child(void (*run)(void *), void *argument, const char *what) {
    int ends[2], trouble[2];
    if (pipe2(ends, O_CLOEXEC) == -1 || pipe2(trouble, O_CLOEXEC) == -1) refused("pipe");
    pid_t child = fork();
    if (child == -1) refused("fork");
    if (child == 0) {
        int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (nothing != -1) dup2(nothing, 0);
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        run(argument);
        int code = errno;
        if (write(trouble[1], &code, sizeof code) == -1) _exit(126);
        _exit(127);
    }
    close(ends[1]);
    close(trouble[1]);
    char output[1024];
    size_t used = 0;
    ssize_t count;
    while (used < sizeof output - 1 && (count = read(ends[0], output + used, sizeof output - 1 - used)) > 0)
        used += (size_t)count;
    output[used] = '\0';
    int code = 0, status = 0;
    bool not_started = read(trouble[0], &code, sizeof code) == sizeof code;
    waitpid(child, &status, 0);
    if (not_started) {
        errno = code;
        refused("%s", what);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) succeeded("%s ran: %s", what, output);
    failed(WIFSIGNALED(status) ? "KILLED" : "FAILED", "%s ended with %d: %s", what,
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), output);
}

static char *no_environment[] = {NULL};

static void copy_self(int target) {
    int own = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (own == -1) refused("open /proc/self/exe");
    char buffer[65536];
    ssize_t count;
    while ((count = read(own, buffer, sizeof buffer)) > 0)
        if (write(target, buffer, (size_t)count) != count) refused("copy the program");
    close(own);
}

static void execute_descriptor(void *argument) {
    char *arguments[] = {(char *)"attack", (char *)"list", NULL};
    int fd = *(int *)argument;
    syscall(SYS_execveat, fd, "", arguments, no_environment, AT_EMPTY_PATH);
    int first = errno;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    execve(path, arguments, no_environment);
    if (errno == ENOENT) errno = first;
}

static void memfd_exec(char **a) {
    (void)a;
    int fd = (int)syscall(SYS_memfd_create, "attack", 0);
    if (fd == -1) refused("memfd_create");
    copy_self(fd);
    run_child(execute_descriptor, &fd, "a program in memory");
}

static void execute_loader(void *argument) {
    char *file = argument;
    char *arguments[] = {(char *)"ld.so", file, (char *)"list", NULL};
    execve("/lib64/ld-linux-x86-64.so.2", arguments, no_environment);
}

static void ld_so_exec(char **a) { run_child(execute_loader, (void *)text(a, 0), "the loader"); }

static void execute_path(void *argument) {
    char *path = argument;
    char *arguments[] = {path, (char *)"list", NULL};
    execve(path, arguments, no_environment);
}

static void write_copy(char *path) {
    int fd = mkstemp(path);
    if (fd == -1) refused("create %s", path);
    copy_self(fd);
    if (fchmod(fd, 0700) == -1) refused("fchmod %s", path);
    close(fd);
}

/* In the folder that is given, or in /tmp. */
static void copy_exec(char **a, void (*execute)(void *), const char *what) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/attack-XXXXXX", a[0] ? a[0] : "/tmp");
    write_copy(path);
    pid_t cleaner = fork();
    if (cleaner == 0) {
        /* Waits until the reporting parent is gone, then leaves nothing behind. */
        close(0);
        close(1);
        close(2);
        pid_t parent = getppid();
        for (int i = 0; i < 100 && getppid() == parent; i++) usleep(50000);
        unlink(path);
        _exit(0);
    }
    run_child(execute, path, what);
}

static void tmp_exec(char **a) { copy_exec(a, execute_path, "a copy"); }
static void tmp_ld_so_exec(char **a) { copy_exec(a, execute_loader, "the loader with a copy"); }

/* ---- Channels between jails ---- */

static void sysv_shm_write(char **a) {
    int id = shmget((key_t)number(a, 0), 4096, IPC_CREAT | 0666);
    if (id == -1) refused("shmget");
    char *memory = shmat(id, NULL, 0);
    if (memory == (void *)-1) refused("shmat");
    strcpy(memory, "canary");
    succeeded("wrote");
}

/* Removes the segment, so that a positive control leaves nothing behind. */
static void sysv_shm_read(char **a) {
    int id = shmget((key_t)number(a, 0), 4096, 0);
    if (id == -1) refused("shmget");
    char *memory = shmat(id, NULL, SHM_RDONLY);
    if (memory == (void *)-1) refused("shmat");
    char copy[16];
    snprintf(copy, sizeof copy, "%.15s", memory);
    shmctl(id, IPC_RMID, NULL);
    if (copy[0]) succeeded("read %s", copy);
    failed(NULL, "the segment is empty");
}

static void slash(const char *name, char *out, size_t size) { snprintf(out, size, "%s%s", name[0] == '/' ? "" : "/", name); }

static void mq_write(char **a) {
    char name[256];
    slash(text(a, 0), name, sizeof name);
    struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 16};
    mqd_t queue = mq_open(name, O_CREAT | O_WRONLY | O_NONBLOCK, 0666, &attributes);
    if (queue == (mqd_t)-1) refused("mq_open %s", name);
    if (mq_send(queue, "canary", 6, 0) == -1) refused("mq_send %s", name);
    succeeded("sent to %s", name);
}

static void mq_read(char **a) {
    char name[256], message[17] = {0};
    slash(text(a, 0), name, sizeof name);
    mqd_t queue = mq_open(name, O_RDONLY | O_NONBLOCK);
    if (queue == (mqd_t)-1) refused("mq_open %s", name);
    mq_unlink(name);
    if (mq_receive(queue, message, 16, NULL) == -1) refused("mq_receive %s", name);
    succeeded("received %s", message);
}

static void shm_open_write(char **a) {
    char name[256];
    slash(text(a, 0), name, sizeof name);
    int fd = shm_open(name, O_CREAT | O_RDWR, 0666);
    if (fd == -1) refused("shm_open %s", name);
    if (write(fd, "canary", 6) != 6) refused("write %s", name);
    succeeded("wrote %s", name);
}

static void shm_open_read(char **a) {
    char name[256], message[17] = {0};
    slash(text(a, 0), name, sizeof name);
    int fd = shm_open(name, O_RDONLY, 0);
    if (fd == -1) refused("shm_open %s", name);
    shm_unlink(name);
    if (read(fd, message, 16) <= 0) refused("read %s", name);
    succeeded("read %s", message);
}

static void lock_file(char **a) {
    const char *path = text(a, 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) refused("open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) == -1) refused("flock %s", path);
    linger = a[1] && strcmp(a[1], "hold") == 0;
    succeeded("locked %s", path);
}

/* ---- Privileges ---- */

/* By the call, since not every process may read its own file in /proc. */
static void effective_capabilities(char *out, size_t size) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) == -1) refused("capget");
    snprintf(out, size, "%08x%08x", data[1].effective, data[0].effective);
}

static void capabilities(char **a) {
    (void)a;
    char effective[64];
    effective_capabilities(effective, sizeof effective);
    if (strspn(effective, "0") == strlen(effective)) failed(NULL, "CapEff %s", effective);
    succeeded("CapEff %s", effective);
}

/* Looks for programs that lend their owner's rights, and runs `su -c id` and the like. */
static void switch_user(char **a) {
    (void)a;
    static const char *programs[][4] = {
        {"/bin/su", "-c", "id -u", NULL},
        {"/usr/bin/sudo", "-n", "id", NULL},
        {"/usr/bin/newuidmap", "1", "0", NULL},
        {"/bin/ping", "-c1", "127.0.0.1", NULL},
        {"/usr/bin/passwd", "-S", NULL, NULL},
    };
    char effective[64], detail[2048];
    size_t used = 0;
    bool gained = false;
    effective_capabilities(effective, sizeof effective);
    detail[0] = '\0';
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        struct stat status;
        if (stat(programs[i][0], &status) == -1) {
            used += (size_t)snprintf(detail + used, sizeof detail - used, "%s %s; ", programs[i][0], strerrorname_np(errno));
            continue;
        }
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) == -1) refused("pipe");
        pid_t child = fork();
        if (child == -1) refused("fork");
        if (child == 0) {
            int nothing = open("/dev/null", O_RDWR);
            dup2(nothing, 0);
            dup2(ends[1], 1);
            dup2(nothing, 2);
            char *arguments[5] = {(char *)programs[i][0]};
            for (int n = 0; n < 3; n++) arguments[n + 1] = (char *)programs[i][n + 1];
            execve(programs[i][0], arguments, no_environment);
            _exit(126);
        }
        close(ends[1]);
        char output[32] = {0};
        ssize_t count = read(ends[0], output, sizeof output - 1);
        close(ends[0]);
        int code;
        waitpid(child, &code, 0);
        if (i == 0 && count > 0 && strcmp(output, "0\n") == 0) gained = true;
        used += (size_t)snprintf(detail + used, sizeof detail - used, "%s ended with %d; ", programs[i][0],
                                 WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code));
    }
    bool own = strspn(effective, "0") != strlen(effective);
    if (gained || own) succeeded("%sCapEff %s", detail, effective);
    failed(NULL, "%sCapEff %s", detail, effective);
}

/* Becoming somebody else, also through ids that a user namespace maps. */
static void setuid_zero(char **a) {
    (void)a;
    if (syscall(SYS_setresuid, 0, 0, 0) == -1 && syscall(SYS_setuid, 0) == -1) refused("setuid");
    succeeded("setuid 0");
}

static void setgroups_none(char **a) {
    (void)a;
    only_jailed();
    if (syscall(SYS_setgroups, 0, NULL) == -1) refused("setgroups");
    succeeded("dropped the groups, and what is forbidden to them");
}

/* A program of the attacker's own with the set-user-id bit, left for somebody else to run. */
static void plant_setuid(char **a) {
    char path[4096];
    snprintf(path, sizeof path, "%s/attack-XXXXXX", a[0] ? a[0] : "/tmp");
    write_copy(path);
    int result = chmod(path, 04755);
    int code = errno;
    struct stat status;
    bool set = result == 0 && stat(path, &status) == 0 && (status.st_mode & S_ISUID);
    unlink(path);
    errno = result == 0 ? EPERM : code;
    if (!set) refused("chmod u+s %s", path);
    succeeded("chmod u+s %s", path);
}

/* The mode of a file, given back unchanged: whoever may do that may lock its owner out. */
static void change_mode(char **a) {
    const char *path = text(a, 0);
    struct stat status;
    if (stat(path, &status) == -1) refused("stat %s", path);
    if (chmod(path, status.st_mode & 07777) == -1) refused("chmod %s", path);
    succeeded("chmod %s", path);
}

/* ---- Resources ---- */

/* Orphans that end at once and that init has to reap. */
static void zombies(char **a) {
    long wanted = number(a, 0), worked = 0;
    int first_error = 0;
    for (long i = 0; i < wanted; i++) {
        pid_t child = fork();
        if (child == -1) {
            if (!first_error) first_error = errno;
            continue;
        }
        if (child == 0) {
            pid_t orphan = fork();
            _exit(orphan == -1 ? errno : 0);
        }
        int status;
        waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) worked++;
        else if (!first_error) first_error = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    }
    if (worked == wanted) succeeded("%ld of %ld", worked, wanted);
    errno = first_error;
    refused("%ld of %ld", worked, wanted);
}

static void pause_forever(void) {
    for (;;) pause();
}

/* Children that stay, up to the limit; all of them go with this process. */
static void processes(char **a) {
    long wanted = number(a, 0), worked = 0;
    only_jailed();
    pid_t *children = calloc((size_t)wanted, sizeof *children);
    if (!children) refused("calloc");
    int code = 0;
    for (; worked < wanted; worked++) {
        pid_t child = fork();
        if (child == -1) {
            code = errno;
            break;
        }
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
            pause_forever();
        }
        children[worked] = child;
    }
    for (long i = 0; i < worked; i++) kill(children[i], SIGKILL);
    for (long i = 0; i < worked; i++) waitpid(children[i], NULL, 0);
    if (worked == wanted) succeeded("%ld processes", worked);
    errno = code;
    refused("%ld of %ld processes", worked, wanted);
}

/* In a child, so that the one line is printed even when the kernel kills for want of memory. */
static void memory(long bytes, int flags) {
    only_jailed();
    pid_t child = fork();
    if (child == -1) refused("fork");
    if (child == 0) {
        char *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) _exit(errno);
        for (long at = 0; at < bytes; at += 4096) memory[at] = 1;
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) failed("KILLED", "signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == 0) succeeded("touched %ld bytes", bytes);
    errno = WEXITSTATUS(status);
    refused("mmap %ld bytes", bytes);
}

static void memory_shared(char **a) { memory(number(a, 0), MAP_SHARED); }
static void memory_private(char **a) { memory(number(a, 0), MAP_PRIVATE); }

static void memory_tmpfs(char **a) {
    char path[4096], block[65536];
    snprintf(path, sizeof path, "%s/attack-XXXXXX", text(a, 0));
    long bytes = number(a, 1), written = 0;
    only_jailed();
    int fd = mkstemp(path);
    if (fd == -1) refused("create %s", path);
    unlink(path);
    memset(block, 1, sizeof block);
    /* RLIMIT_FSIZE would kill. */
    signal(SIGXFSZ, SIG_IGN);
    while (written < bytes) {
        ssize_t count = write(fd, block, sizeof block);
        if (count <= 0) refused("wrote %ld of %ld bytes", written, bytes);
        written += count;
    }
    succeeded("wrote %ld bytes", written);
}

static void inodes(char **a) {
    const char *folder = text(a, 0);
    long wanted = number(a, 1), made = 0;
    only_jailed();
    char path[4096];
    int code = 0;
    for (; made < wanted; made++) {
        snprintf(path, sizeof path, "%s/attack-inode-%ld", folder, made);
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (fd == -1) {
            code = errno;
            break;
        }
        close(fd);
    }
    for (long i = 0; i < made; i++) {
        snprintf(path, sizeof path, "%s/attack-inode-%ld", folder, i);
        unlink(path);
    }
    if (made == wanted) succeeded("%ld files", made);
    errno = code;
    refused("%ld of %ld files", made, wanted);
}

static void files_open(char **a) {
    long wanted = number(a, 0), opened = 0;
    for (; opened < wanted; opened++)
        if (open("/dev/null", O_RDONLY | O_CLOEXEC) == -1) refused("%ld of %ld descriptors", opened, wanted);
    succeeded("%ld descriptors", opened);
}

static void raise_limit(char **a) {
    (void)a;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == -1) refused("getrlimit");
    limit.rlim_cur = limit.rlim_max = limit.rlim_max + 1;
    if (setrlimit(RLIMIT_NOFILE, &limit) == -1) refused("raise the limit of descriptors");
    succeeded("raised the limit of descriptors");
}

/* No attack: the revision of Landlock that the kernel has. */
static void landlock_version(char **a) {
    (void)a;
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
    if (version == -1) refused("landlock_create_ruleset");
    succeeded("%ld", version);
}

static void core_dump(char **a) {
    (void)a;
    pid_t child = fork();
    if (child == -1) refused("fork");
    if (child == 0) abort();
    int status;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status) && WCOREDUMP(status)) succeeded("the kernel dumped core");
    failed(NULL, "no core");
}

/* ---- The table ---- */

static const struct {
    const char *name;
    void (*run)(char **arguments);
    const char *arguments;
} acts[] = {
    {"ptrace-attach", ptrace_attach, "PID"},
    {"vm-read", vm_read, "PID"},
    {"vm-write", vm_write, "PID"},
    {"pidfd-getfd", pidfd_getfd_of, "PID FD"},
    {"read-mem", read_mem, "PID"},
    {"read-proc", read_proc, "PID FILE"},
    {"kill", kill_one, "PID SIGNAL"},
    {"kill-all", kill_all, "SIGNAL"},
    {"prlimit", prlimit_of, "PID"},
    {"renice", renice, "PID"},
    {"pin", pin, "PID"},
    {"kcmp", kcmp_with, "[PID]"},
    {"abstract-connect", abstract_connect, "NAME"},
    {"unix-connect", unix_connect, "PATH"},
    {"tcp-connect", tcp_connect, "ADDRESS PORT"},
    {"tcp-listen", tcp_listen, "ADDRESS PORT"},
    {"udp-send", udp_send, "ADDRESS PORT"},
    {"raw-icmp", raw_icmp, ""},
    {"ping-socket", ping_socket, ""},
    {"sctp", sctp, ""},
    {"mptcp", mptcp, ""},
    {"packet", packet, ""},
    {"old-packet", old_packet, ""},
    {"vsock", vsock, ""},
    {"netfilter", netfilter, ""},
    {"audit", audit, ""},
    {"alg", alg, ""},
    {"bluetooth", bluetooth, ""},
    {"socket", any_socket, "FAMILY TYPE PROTOCOL"},
    {"unshare-user", unshare_user, ""},
    {"unshare-mount", unshare_mount, ""},
    {"unshare-net", unshare_net, ""},
    {"mount-tmpfs", mount_tmpfs, "PATH"},
    {"remount", remount, "PATH"},
    {"unmount", unmount, "PATH"},
    {"pivot", pivot, ""},
    {"chroot", change_root, "PATH"},
    {"setns", enter_namespace, "PID"},
    {"syscall", system_call, "NUMBER"},
    {"syscall-scan", system_call_scan, "FILE"},
    {"int80", int80, ""},
    {"io-uring", io_uring, ""},
    {"bpf", bpf, ""},
    {"userfaultfd", userfaultfd, ""},
    {"perf", perf, ""},
    {"keyctl", keyctl, ""},
    {"modify-ldt", modify_ldt, ""},
    {"open-by-handle", open_by_handle, ""},
    {"personality", personality_change, ""},
    {"ambient", ambient, ""},
    {"tiocsti", tiocsti, ""},
    {"mknod", mknod_device, "PATH"},
    {"memfd-exec", memfd_exec, ""},
    {"ld-so-exec", ld_so_exec, "FILE"},
    {"tmp-exec", tmp_exec, "[FOLDER]"},
    {"tmp-ld-so-exec", tmp_ld_so_exec, "[FOLDER]"},
    {"sysv-shm-write", sysv_shm_write, "KEY"},
    {"sysv-shm-read", sysv_shm_read, "KEY"},
    {"mq-write", mq_write, "NAME"},
    {"mq-read", mq_read, "NAME"},
    {"shm-open-write", shm_open_write, "NAME"},
    {"shm-open-read", shm_open_read, "NAME"},
    {"flock", lock_file, "PATH [hold]"},
    {"capabilities", capabilities, ""},
    {"su", switch_user, ""},
    {"setuid", setuid_zero, ""},
    {"setgroups", setgroups_none, ""},
    {"plant-setuid", plant_setuid, "[FOLDER]"},
    {"chmod", change_mode, "PATH"},
    {"zombies", zombies, "COUNT"},
    {"processes", processes, "COUNT"},
    {"memory-shared", memory_shared, "BYTES"},
    {"memory-private", memory_private, "BYTES"},
    {"memory-tmpfs", memory_tmpfs, "FOLDER BYTES"},
    {"inodes", inodes, "FOLDER COUNT"},
    {"files-open", files_open, "COUNT"},
    {"raise-limit", raise_limit, ""},
    {"core-dump", core_dump, ""},
    {"landlock-version", landlock_version, ""},
};

int main(int count, char **arguments) {
    act = count > 1 ? arguments[1] : "";
    size_t length = sizeof acts / sizeof *acts;
    if (strcmp(act, "list") == 0) {
        for (size_t i = 0; i < length; i++) printf("%s%s%s\n", acts[i].name, *acts[i].arguments ? " " : "", acts[i].arguments);
        return 0;
    }
    for (size_t i = 0; i < length; i++)
        if (strcmp(act, acts[i].name) == 0) acts[i].run(arguments + 2);
    failed("USAGE", "no such act; `attack list` names them");
}
