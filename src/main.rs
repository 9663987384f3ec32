//! `novactl`: parse, start logging, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use novactl::cli::{self, Cli, trouble};

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(cli::words(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return trouble::tell_usage(&error),
    };
    // A check that panics is reported as a finding; its backtrace is of no use to a person.
    std::panic::set_hook(Box::new(|panic| tracing::debug!("{panic}")));
    cli.start_log().and_then(|()| cli::run(&cli)).unwrap_or_else(|error| trouble::tell(&error, &cli.global))
}
