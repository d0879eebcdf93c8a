//! Runs simulations from the command line:
//! `cargo run --release -p casemesh-protocol --features simulation --example simulate -- seeds 100000`
//! `cargo run --release -p casemesh-protocol --features simulation --example simulate -- offices 10000`
//! `cargo run --release -p casemesh-protocol --features simulation --example simulate -- seed 4711 [real]`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line")]

use casemesh_protocol::simulation::{Broken, Report, Setup, run};
use std::process::ExitCode;
use std::time::Instant;

fn seeds(count: u64) -> Result<(), Broken> {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let start = Instant::now();
    let results: Vec<Result<Report, Broken>> = std::thread::scope(|scope| {
        let one = |worker: u64| {
            let mut sum = Report::default();
            for seed in (worker..count).step_by(usize::try_from(threads).unwrap_or(1)) {
                sum += run(&Setup { is_real: seed % 1000 == 3, ..Setup::small(seed) })?;
            }
            Ok(sum)
        };
        let workers: Vec<_> = (0..threads).map(|worker| scope.spawn(move || one(worker))).collect();
        workers.into_iter().flat_map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut sum = Report::default();
    for one in results {
        sum += one?;
    }
    println!("{count} seeds in {:.0} s: {sum:?}", start.elapsed().as_secs_f64());
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
