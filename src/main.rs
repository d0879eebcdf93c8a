//! The `casemesh` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    casemesh::cli::main()
}
