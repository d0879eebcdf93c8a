//! Runs simulations from the command line:
//! `cargo run --release -p casemesh-protocol --features simulation --example simulate -- seeds 100000`
//! `cargo run --release -p casemesh-protocol --features simulation --example simulate -- offices 10000`
//! `cargo run --release -p casemesh-protocol --features simulation --example simulate -- seed 4711 [real]`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line")]

use casemesh_protocol::simulation::{Broken, Report, Setup, run};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Says how far it is after so many seeds.
const TOLD_EVERY: u64 = 5_000;

/// Runs seeds from 0 on all cores. The first that does not hold ends them all: its number, and how many held, are told.
fn seeds(count: u64) -> Result<(), Broken> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, held, is_broken) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let start = Instant::now();
    let work = || {
        let mut sum = Report::default();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= count || is_broken.load(Relaxed) {
                return Ok(sum);
            }
            sum += run(&Setup { is_real: seed % 1000 == 3, ..Setup::small(seed) })
                .inspect_err(|_| is_broken.store(true, Relaxed))?;
            let done = held.fetch_add(1, Relaxed) + 1;
            if done.is_multiple_of(TOLD_EVERY) {
                println!("{done} seeds hold, {:.0} s", start.elapsed().as_secs_f64());
            }
        }
    };
    let results: Vec<Result<Report, Broken>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut sum = Report::default();
    for one in results {
        sum += one?;
    }
    println!("{} seeds in {:.0} s: {sum:?}", held.load(Relaxed), start.elapsed().as_secs_f64());
    Ok(())
}

fn one(setup: Setup) -> Result<(), Broken> {
    let start = Instant::now();
    let report = run(&setup)?;
    println!("{setup:?} in {:.0} s: {report:?}", start.elapsed().as_secs_f64());
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, usual: u64| arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let done = match arguments.first().map(String::as_str) {
        Some("seeds") => seeds(number(1, 1_000)),
        Some("offices") => {
            let offices = u32::try_from(number(1, 10_000)).unwrap_or(10_000);
            let hubs = (offices / 500).max(2);
            one(Setup { offices, hubs, referrals_percent: 10, ..Setup::small(number(2, 1)) })
        }
        Some("seed") => {
            one(Setup { is_real: arguments.iter().any(|word| word == "real"), ..Setup::small(number(1, 1)) })
        }
        _ => {
            eprintln!("seeds COUNT | offices COUNT [SEED] | seed SEED [real]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(broken) => {
            eprintln!("{broken}");
            ExitCode::FAILURE
        }
    }
}
