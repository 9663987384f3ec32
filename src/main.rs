//! `novactl`: parse, start logging, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use novactl::cli::trouble::Trouble;
use novactl::cli::{self, Cli};
use novactl::report::{Exit, Format};
use novactl::ui::Interrupted;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A check that panics is reported as a finding; its backtrace is of no use to a person.
    std::panic::set_hook(Box::new(|panic| tracing::debug!("{panic}")));
    cli.start_log().and_then(|()| cli::run(&cli)).unwrap_or_else(|error| {
        tracing::debug!("{error:?}");
        let trouble = error.downcast_ref::<Trouble>();
        if cli.global.format == Format::Nagios {
            return novactl::ui::unknown(&error);
        }
        novactl::ui::error(&error, trouble.map(|trouble| trouble.hint.as_str()));
        let interrupted = error.is::<Interrupted>().then_some(Exit::Interrupted);
        interrupted.unwrap_or(trouble.map_or(Exit::CannotJudge, |trouble| trouble.exit)).into()
    })
}
