//! The demo: three offices, a hub and a collector on this computer, each a node of its own with its own
//! folder, keys and pages, filled with synthetic people. `--once` plays the main story through their APIs.

pub mod national;
mod people;
mod story;
mod world;

use crate::cli::say;
use anyhow::Result;
use std::process::ExitCode;
use world::World;

/// A story that was not true ends with this code.
const NOT_TRUE: u8 = 7;

/// Runs the demonstration of many offices.
///
/// # Errors
/// When a node cannot be set up or started.
pub async fn run_national(offices: usize, cases: usize, once: bool, json: bool) -> Result<ExitCode> {
    let is_true = national::run(offices, cases, once, json).await?;
    Ok(if is_true { ExitCode::SUCCESS } else { ExitCode::from(NOT_TRUE) })
}

/// Runs the demo.
///
/// # Errors
/// When a node cannot be set up or started.
pub async fn run(once: bool, json: bool) -> Result<ExitCode> {
    let world = World::start().await?;
    let story = story::play(&world).await?;
    let is_true = story.is_true();
    if json {
        say(serde_json::to_string_pretty(&story)?);
    } else {
        for step in &story.steps {
            say(format_args!("{} {}", if step.is_true { "  ok " } else { "FALSE" }, step.what));
        }
    }
    if once {
        world.stop().await?;
        return Ok(if is_true { ExitCode::SUCCESS } else { ExitCode::from(NOT_TRUE) });
    }
    say("\nThe story above has just been played on these nodes. Look at it from each side:\n");
    for office in world.offices() {
        say(format_args!("  {:<28} http://{}/", office.name, office.served.address));
        for (name, role) in &office.staff {
            say(format_args!("      sign in as {name:<10} ({role})"));
        }
    }
    say(format_args!("\n  The password of everybody in this demo: {}", world.password));
    say("  All people are invented. Ctrl-C ends the demo and removes its folders.\n");
    tokio::signal::ctrl_c().await?;
    world.stop().await?;
    Ok(ExitCode::SUCCESS)
}
