//! stub
use anyhow::Result;
/// stub
pub fn run(_json: bool) -> Result<()> { Ok(()) }
