//! The benchmark harness: issuance over REST, beside the same in two processes, beside a bare loop over
//! the same two databases and beside `cfssl serve`, in one run; memory; start-up time. `docs/development/benchmarks.md` says
//! how and why.
//!
//! A figure of one subject alone means nothing on a shared machine: every goal that is about speed
//! is a ratio of figures that were measured side by side. Nothing leaves loopback, nothing is
//! written into the repository, and every process that is started here ends with this one. Start
//! with [`rounds`].

mod access;
mod apart;
mod arguments;
mod bare_loop;
mod cfssl;
mod environment;
mod http_client;
mod load;
mod memory;
mod parity;
mod process;
mod product;
mod report;
mod requests;
mod rotation;
mod rounds;
mod stepping_up;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Arguments;
use crate::rounds::Bench;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime");
    match runtime.and_then(|runtime| runtime.block_on(run(&arguments))) {
        Ok(code) => code,
        Err(error) => {
            report::progress(&format!("benchmark failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints. Success unless something failed to run; goals that are not met are told,
/// not punished, because a busy machine misses them too.
async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // Before anything is made that would have to be removed.
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut bench = Bench::new(arguments)?;
    let measured = tokio::select! {
        measured = Box::pin(bench.run()) => measured,
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("told to end")),
    };
    let stopped = Box::pin(bench.stop()).await;
    let report = measured?;
    report::print(&report.render());
    stopped?;
    Ok(match report.failed_requests() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
