//! `cargo bench --bench xenstore`: reads per second of the client beside those of `xenstore-read`, from the same C
//! xenstored, as dom0 and as a guest. Prints numbers and judges nothing.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints")]

#[path = "../tests/lab/mod.rs"]
mod lab;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use novactl::xenstore::{self, Source};

const READS: usize = 20_000;

/// How many nodes one `xenstore-read` is asked for, and how many of them are started.
const PER_PROCESS: usize = 1000;
const PROCESSES: usize = 20;

fn main() {
    let Some(store) = lab::Store::start(lab::Kind::C) else { return };
    let guest = store.domu(7);
    store.write("/local/domain/7/vm-data/hostname", "web01");
    let path = "/local/domain/7/vm-data/hostname";

    report("novactl, dom0's socket", READS, ours(store.socket(), path));
    report("novactl, a guest's ring", READS, ours(guest, "vm-data/hostname"));

    let begin = Instant::now();
    for _ in 0..PROCESSES {
        store.read_again(path, PER_PROCESS);
    }
    report("xenstore-read, 1000 paths each", PROCESSES * PER_PROCESS, begin.elapsed());
    let begin = Instant::now();
    for _ in 0..100 {
        store.read_again(path, 1);
    }
    report("xenstore-read, a process each (with bash)", 100, begin.elapsed());
}

fn ours(place: PathBuf, path: &str) -> Duration {
    let mut store = xenstore::open(&Source::Path(place)).unwrap();
    let begin = Instant::now();
    for _ in 0..READS {
        store.read(path).unwrap();
    }
    begin.elapsed()
}

fn report(who: &str, reads: usize, took: Duration) {
    println!("{:>8.0} reads/s  {who}", reads as f64 / took.as_secs_f64());
}
