//! io_uring: a real ring, and every operation that the reactor uses.
//!
//! A ring can be refused by the kernel, by a sysctl, or by a container's seccomp filter, and all
//! three look alike to the caller. So errno, sysctl and seccomp mode are looked at together.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use crate::doctor::Check;

const NEEDED: &str = "a ring with every operation used";
const ENTRIES: u32 = 8;
/// `IORING_REGISTER_PROBE` of the kernel's `io_uring.h`.
const REGISTER_PROBE: u32 = 8;
/// `IO_URING_OP_SUPPORTED`.
const SUPPORTED: u16 = 1;
const OPERATIONS_MAX: usize = 256;

/// What the reactor submits, by the numbers of `io_uring.h`.
const OPERATIONS: &[(u8, &str)] = &[
    (0, "NOP"),
    (1, "READV"),
    (2, "WRITEV"),
    (3, "FSYNC"),
    (4, "READ_FIXED"),
    (5, "WRITE_FIXED"),
    (6, "POLL_ADD"),
    (7, "POLL_REMOVE"),
    (9, "SENDMSG"),
    (10, "RECVMSG"),
    (11, "TIMEOUT"),
    (12, "TIMEOUT_REMOVE"),
    (13, "ACCEPT"),
    (15, "LINK_TIMEOUT"),
    (16, "CONNECT"),
    (17, "FALLOCATE"),
    (18, "OPENAT"),
    (19, "CLOSE"),
    (21, "STATX"),
    (22, "READ"),
    (23, "WRITE"),
    (26, "SEND"),
    (27, "RECV"),
];

pub(super) fn checks() -> Vec<Check> {
    let check = |found: &str| Check::ok("io_uring", found, NEEDED);
    let probed = setup().and_then(|ring| unsupported(&ring));
    vec![match probed {
        Ok(missing) if missing.is_empty() => check("a ring, all operations"),
        Ok(missing) => check(&format!("no {}", missing.join(", ")))
            .fail("upgrade the kernel to 5.11 or newer".to_owned()),
        Err(error) => {
            let why = Refused {
                errno: error.raw_os_error().unwrap_or_default(),
                disabled: number("/proc/sys/kernel/io_uring_disabled"),
                group: number("/proc/sys/kernel/io_uring_group"),
                filtered: seccomp_mode() == Some(2),
            };
            check(&format!("refused: {error}")).fail(why.fix())
        }
    }]
}

/// What is known about a refused ring.
#[derive(Debug, Clone, Copy)]
struct Refused {
    errno: i32,
    /// `kernel.io_uring_disabled`: 1 is for all but a group, 2 for all.
    disabled: Option<i64>,
    /// `kernel.io_uring_group`; -1 is none.
    group: Option<i64>,
    /// Whether a seccomp filter stands before the kernel.
    filtered: bool,
}

impl Refused {
    fn fix(&self) -> String {
        match (self.errno, self.disabled) {
            (libc::EPERM, Some(2)) => "sysctl -w kernel.io_uring_disabled=0".into(),
            (libc::EPERM, Some(1)) => match self.group {
                Some(group) if group >= 0 => {
                    format!("run as a member of group {group} (kernel.io_uring_group)")
                }
                _ => "sysctl -w kernel.io_uring_disabled=0, or name a group of this user in \
                      kernel.io_uring_group"
                    .into(),
            },
            (libc::EPERM | libc::ENOSYS | libc::EACCES, _) if self.filtered => {
                "the host is fine, the container's seccomp profile blocks io_uring (as those of \
                 Docker 25, containerd 2 and Kubernetes' RuntimeDefault do): use the default \
                 profile plus io_uring_setup, io_uring_enter and io_uring_register, with docker \
                 run --security-opt seccomp=FILE, in Kubernetes as seccompProfile of type \
                 Localhost"
                    .into()
            }
            (libc::ENOSYS, _) => "use a kernel of 5.11 or newer that has CONFIG_IO_URING".into(),
            (libc::ENOMEM, _) => "raise the locked-memory limit: ulimit -l unlimited, or \
                                  LimitMEMLOCK=infinity in systemd"
                .into(),
            (libc::EMFILE | libc::ENFILE, _) => "raise the open-files limit: ulimit -n".into(),
            _ => "see io_uring_setup(2) for this error; a security module may refuse it".into(),
        }
    }
}

/// `struct io_uring_params`, of which only the size matters here.
#[repr(C, align(8))]
struct Params([u8; 120]);

/// `struct io_uring_probe` with room for every operation.
#[repr(C)]
struct Probe {
    last_operation: u8,
    operations: u8,
    reserved: [u16; 7],
    supported: [ProbeOperation; OPERATIONS_MAX],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct ProbeOperation {
    operation: u8,
    reserved: u8,
    flags: u16,
    reserved_too: u32,
}

fn setup() -> io::Result<OwnedFd> {
    let mut params = Params([0; 120]);
    // SAFETY: the kernel writes at most the 120 bytes of `io_uring_params`.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, &mut params) };
    match fd {
        // SAFETY: the kernel has just given this descriptor to us alone.
        0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The operations that this kernel lacks.
fn unsupported(ring: &OwnedFd) -> io::Result<Vec<&'static str>> {
    let none = ProbeOperation { operation: 0, reserved: 0, flags: 0, reserved_too: 0 };
    let supported = [none; OPERATIONS_MAX];
    let mut probe = Probe { last_operation: 0, operations: 0, reserved: [0; 7], supported };
    // SAFETY: `probe` has room for the operations that the last argument names.
    let failed = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            REGISTER_PROBE,
            &mut probe,
            OPERATIONS_MAX,
        )
    } != 0;
    if failed {
        return Err(io::Error::last_os_error());
    }
    let has = |number: u8| {
        number <= probe.last_operation
            && probe.supported[usize::from(number)].flags & SUPPORTED != 0
    };
    Ok(OPERATIONS.iter().filter(|(number, _)| !has(*number)).map(|(_, name)| *name).collect())
}

fn number(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// 0: none, 1: strict, 2: a filter.
fn seccomp_mode() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Refused =
        Refused { errno: libc::EPERM, disabled: None, group: None, filtered: false };

    #[test]
    fn the_structs_are_as_long_as_the_kernels() {
        assert_eq!(size_of::<Params>(), 120);
        assert_eq!(size_of::<Probe>(), 16 + OPERATIONS_MAX * 8);
    }

    #[test]
    fn this_machine_gives_a_ring_or_says_why_not() {
        let checks = checks();
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].fix.is_empty(), checks[0].found == "a ring, all operations");
    }

    #[test]
    fn errno_sysctl_and_seccomp_together_tell_who_refused() {
        let fix = |refused: Refused| refused.fix();
        assert!(fix(Refused { disabled: Some(2), ..OPEN }).starts_with("sysctl -w"));
        let group = Refused { disabled: Some(1), group: Some(990), ..OPEN };
        assert!(fix(group).contains("group 990"));
        let filtered = Refused { filtered: true, disabled: Some(0), ..OPEN };
        assert!(fix(filtered).contains("the host is fine"));
        assert!(fix(Refused { errno: libc::ENOSYS, ..filtered }).contains("seccomp"));
        assert!(fix(Refused { errno: libc::ENOSYS, ..OPEN }).contains("CONFIG_IO_URING"));
        assert!(fix(Refused { errno: libc::ENOMEM, ..OPEN }).contains("ulimit -l"));
    }
}
