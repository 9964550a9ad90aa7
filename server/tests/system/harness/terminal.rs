//! A program on a terminal of its own.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::eventually;

/// Ctrl-C, as the keyboard sends it.
pub const INTERRUPT: &[u8] = b"\x03";

/// A pseudo terminal of 80 columns, the program that has it for all three streams, and all that it
/// wrote.
pub struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    reading: Option<JoinHandle<()>>,
    child: Child,
}

impl Terminal {
    pub fn start(mut command: Command) -> Self {
        let (keyboard, terminal) = open();
        let stream = || terminal.try_clone().unwrap();
        command.stdin(stream()).stdout(stream()).stderr(stream());
        // SAFETY: both calls are async-signal-safe, and touch nothing of the parent's.
        unsafe {
            command.pre_exec(|| {
                // Without it Ctrl-C on the terminal is nobody's signal.
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        // The command holds the terminal too: its end must be seen.
        drop((command, terminal));
        let screen = Arc::new(Mutex::new(Vec::new()));
        let reading = read(keyboard.try_clone().unwrap(), screen.clone());
        Self { keyboard, screen, reading: Some(reading), child }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// All that was written until now, escape codes and all.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    #[track_caller]
    pub fn wait_for(&self, what: impl Fn(&str) -> bool) {
        eventually(|| {
            let screen = self.screen();
            (!what(&screen)).then(|| format!("the screen has only {screen:?}"))
        });
    }

    /// Waits until the program ends, and tells all that it wrote.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let mut ended = None;
        eventually(|| {
            ended = self.child.try_wait().unwrap();
            ended.is_none().then(|| format!("it doesn't end: {:?}", self.screen()))
        });
        self.reading.take().unwrap().join().unwrap();
        (ended.unwrap(), self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The side of who sits before it, and that of the program.
fn open() -> (File, OwnedFd) {
    let (mut keyboard, mut terminal) = (-1, -1);
    let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the two numbers and the size outlive the call; name and modes may be null.
    let opened = unsafe {
        libc::openpty(&mut keyboard, &mut terminal, std::ptr::null_mut(), std::ptr::null(), &size)
    };
    assert_eq!(opened, 0, "{}", io::Error::last_os_error());
    for side in [keyboard, terminal] {
        // SAFETY: they are open. No child but the one that is given it may hold the terminal.
        assert_eq!(unsafe { libc::fcntl(side, libc::F_SETFD, libc::FD_CLOEXEC) }, 0);
    }
    // SAFETY: the two were just opened, and nobody else has them.
    unsafe { (File::from_raw_fd(keyboard), OwnedFd::from_raw_fd(terminal)) }
}

fn read(mut from: File, to: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut block = [0; 4096];
        // A terminal that nobody holds any more is read as an error.
        while let Ok(count @ 1..) = from.read(&mut block) {
            to.lock().unwrap().extend_from_slice(&block[..count]);
        }
    })
}
