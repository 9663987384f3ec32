//! Random numbers that are there when the host asks, also in the first seconds of a boot.
//!
//! getrandom(2) blocks until the kernel has gathered enough: in a guest without a hardware generator that can be
//! minutes after the start, while the host gives a command 30 s. So this waits a few seconds and then takes what the
//! kernel has. It is for salts, and for the agent's half of an exchange whose other half is the host itself; a
//! password that is made here is worth the wait and is not drawn from this.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// How long good numbers are waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// Fills `bytes`.
///
/// # Errors
/// The kernel has no source of random numbers.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match getrandom(&mut *bytes, GetRandomFlags::NONBLOCK) {
            Ok(count) if count == bytes.len() => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if Instant::now() < end => std::thread::sleep(LOOKS_EVERY),
            Err(Errno::AGAIN) => break,
            // before Linux 3.17
            Err(Errno::NOSYS) => return from_device(bytes),
            Err(errno) => return Err(errno).context("drawing random numbers"),
        }
    }
    tracing::warn!("the kernel has gathered little randomness yet: taking what it has");
    match getrandom(&mut *bytes, GetRandomFlags::INSECURE) {
        Ok(count) if count == bytes.len() => Ok(()),
        // before Linux 5.6, where the device never blocks
        _ => from_device(bytes),
    }
}

fn from_device(bytes: &mut [u8]) -> Result<()> {
    let device = rustix::fs::open("/dev/urandom", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let mut file = std::fs::File::from(device.context("opening /dev/urandom")?);
    file.read_exact(bytes).context("reading /dev/urandom")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_draw_is_another_one_from_either_source() {
        for draw in [fill, from_device] {
            let (mut one, mut other) = ([0; 16], [0; 16]);
            draw(&mut one).unwrap();
            draw(&mut other).unwrap();
            assert!(one != other && one != [0; 16], "{one:?} {other:?}");
        }
    }
}
