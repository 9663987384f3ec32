//! The program as it is installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Without what only a debugger reads: with it, it is too large to be installed as an agent.
pub(crate) static SMALL: LazyLock<PathBuf> = LazyLock::new(|| {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_novactl"));
    let name = format!("novactl-small-{}", std::process::id());
    let small = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let strip = Command::new("strip").arg("-o").arg(&small).arg(&built).status();
    if strip.is_ok_and(|status| status.success()) { small } else { built }
});
