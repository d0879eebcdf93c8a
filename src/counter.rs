//! Where the commands that work with an office's data do their work: at the folder itself, or, while the office's
//! node runs on it, through that node's API, with the same sign-in and the same policy.

use crate::cli::{ask_secret, runtime};
use crate::client::{Client, Refused};
use anyhow::{Context as _, Result, anyhow, bail};
use casemesh_node::clock::Clock;
use casemesh_node::node::{Knock, Node, NodeError, Reach, SignInError, pages_of};
use casemesh_node::office::{
    CollectedView, Desk, FiguresView, ImportReport, ImportView, ListMapping, ListingsReport, ListsReport, Mapping,
    Undone,
};
use casemesh_protocol::id::RecordId;
use casemesh_protocol::time::Period;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How often a running node is asked how far an import has come.
const PROGRESS_EVERY: Duration = Duration::from_millis(300);

/// The numbers of one node for a period.
#[derive(Debug)]
pub(crate) enum Numbers {
    /// An office's own.
    Own { office: String, figures: FiguresView },
    /// What a collector got.
    Collected(Box<CollectedView>),
}

/// A signed-in member of staff.
pub(crate) enum Counter<'a> {
    Here(&'a Desk),
    Running { runtime: &'a Runtime, client: Client },
}

/// Signs in and works.
pub(crate) fn at_counter<T>(folder: &Path, name: &str, work: impl FnOnce(&Counter<'_>) -> Result<T>) -> Result<T> {
    let runtime = runtime()?;
    let _guard = runtime.enter();
    let password = || ask_secret(&format!("Password of {name}"));
    let code = || ask_secret(&format!("Code of {name}'s second factor"));
    match Node::start_as(folder, Clock::system(), Reach::Offline) {
        Ok(node) => {
            let signed_in = || -> Result<Desk> {
                let mut knock = Knock::new(name, &password()?, "command line");
                let token = match node.sign_in(&knock) {
                    Err(SignInError::CodeNeeded) => {
                        knock.code = code()?;
                        node.sign_in(&knock)?
                    }
                    answered => answered?,
                };
                let desk = node.desk(&token).context("the session ended")?;
                if desk.must_change_password() {
                    bail!("somebody else chose this password; choose one of your own on the pages first");
                }
                Ok(desk)
            };
            let result = signed_in().and_then(|desk| work(&Counter::Here(&desk)));
            node.stop();
            result
        }
        Err(NodeError::Running(folder)) => {
            // A node that has no pages (a command that works on the folder just now) cannot be asked.
            let Some(address) = pages_of(&folder) else { return Err(NodeError::Running(folder).into()) };
            let password = password()?;
            let sign_in = |code: &str| runtime.block_on(Client::sign_in(address, name, &password, code));
            let signed_in = match sign_in("") {
                Err(error) if error.downcast_ref::<Refused>().is_some_and(Refused::needs_code) => sign_in(&code()?),
                answered => answered,
            };
            let client = match signed_in {
                Err(error) if is_unreachable(&error) => return Err(error.context(NodeError::Running(folder))),
                signed_in => signed_in?,
            };
            let result = work(&Counter::Running { runtime: &runtime, client: client.clone() });
            if let Err(error) = runtime.block_on(client.post("/sign-out", json!({}))) {
                tracing::debug!(%error, "the session had ended");
            }
            result
        }
        Err(other) => Err(other.into()),
    }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect)
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).context("the running node is of another version; restart it, or use its own program")
}

impl Counter<'_> {
    pub(crate) fn numbers(&self, period: Period) -> Result<Numbers> {
        match self {
            Self::Here(desk) if desk.is_collector() => {
                Ok(Numbers::Collected(Box::new(desk.collected("", Some(period))?)))
            }
            Self::Here(desk) => Ok(Numbers::Own { office: desk.office_name(), figures: desk.figures(period)? }),
            Self::Running { runtime, client } => runtime.block_on(async {
                let days = format!("from={}&to={}", period.from, period.to);
                let session = client.get("/session").await?;
                if session.get("is_collector") == Some(&Value::Bool(true)) {
                    return Ok(Numbers::Collected(read(client.get(&format!("/collected?{days}")).await?)?));
                }
                let office = crate::client::text(&session, "office")?;
                Ok(Numbers::Own { office, figures: read(client.get(&format!("/figures?{days}")).await?)? })
            }),
        }
    }

    pub(crate) fn check_import(&self, mapping: &str, table: &[u8]) -> Result<ImportReport> {
        // Read here first in any case: a wrong mapping need not travel.
        let mapped = Mapping::parse(mapping)?;
        match self {
            Self::Here(desk) => Ok(desk.check_import(&mapped.read(table, &desk.vocabulary())?)?),
            Self::Running { runtime, client } => {
                let table = std::str::from_utf8(table)?;
                let ask = json!({ "mapping": mapping, "table": table, "dry_run": true });
                read(runtime.block_on(client.post("/imports", ask))?)
            }
        }
    }

    pub(crate) fn run_import(&self, mapping: &str, table: &[u8], progress: impl Fn(u64)) -> Result<ImportReport> {
        let mapped = Mapping::parse(mapping)?;
        match self {
            Self::Here(desk) => Ok(desk.run_import(mapped.read(table, &desk.vocabulary())?, progress)?),
            Self::Running { runtime, client } => runtime.block_on(async {
                let ask = json!({ "mapping": mapping, "table": std::str::from_utf8(table)?, "dry_run": false });
                let before = Self::all_imports(client).await?.len();
                let run = client.post("/imports", ask);
                tokio::pin!(run);
                loop {
                    tokio::select! {
                        report = &mut run => return read(report?),
                        () = tokio::time::sleep(PROGRESS_EVERY) => {
                            // How far it has come is nice to know; the import goes on without.
                            let imports = Self::all_imports(client).await.unwrap_or_default();
                            imports.get(before).into_iter().for_each(|import| progress(import.added));
                        }
                    }
                }
            }),
        }
    }

    async fn all_imports(client: &Client) -> Result<Vec<ImportView>> {
        read(client.get("/imports").await?)
    }

    pub(crate) fn import_lists(&self, mapping: &str, file: &[u8], dry_run: bool) -> Result<ListsReport> {
        // Read here in any case: what is wrong with the files is said in full, and need not travel.
        let mapped = ListMapping::parse(mapping).map_err(|why| anyhow!("the mapping file cannot be used: {why}"))?;
        let lists = mapped.read(file).map_err(|why| anyhow!(why))?;
        match self {
            Self::Here(desk) => Ok(desk.import_lists(&lists, dry_run)?),
            Self::Running { runtime, client } => {
                let ask = json!({ "mapping": mapping, "file": std::str::from_utf8(file)?, "dry_run": dry_run });
                read(runtime.block_on(client.post("/list-imports", ask))?)
            }
        }
    }

    pub(crate) fn import_listings(
        &self,
        files: &[(String, Vec<u8>)],
        service: &str,
        dry_run: bool,
    ) -> Result<ListingsReport> {
        match self {
            Self::Here(desk) => Ok(desk.import_listings(files, service, dry_run)?),
            Self::Running { runtime, client } => {
                let (mut file, mut tables) = ("", serde_json::Map::new());
                for (name, bytes) in files {
                    let text = std::str::from_utf8(bytes).with_context(|| format!("{name} is no text in UTF-8"))?;
                    let table = name.to_ascii_lowercase();
                    match table.strip_suffix(".csv") {
                        Some(table) => drop(tables.insert(table.to_owned(), text.into())),
                        None if files.len() > 1 => {
                            anyhow::bail!("{name}: give one file in JSON, or tables that end in .csv")
                        }
                        None => file = text,
                    }
                }
                let ask = json!({ "service": service, "dry_run": dry_run, "file": file, "tables": tables });
                read(runtime.block_on(client.post("/network/listings", ask))?)
            }
        }
    }

    pub(crate) fn imports(&self) -> Result<Vec<ImportView>> {
        match self {
            Self::Here(desk) => Ok(desk.imports()?),
            Self::Running { runtime, client } => runtime.block_on(Self::all_imports(client)),
        }
    }

    pub(crate) fn undo_import(&self, import: RecordId) -> Result<Undone> {
        match self {
            Self::Here(desk) => Ok(desk.undo_import(import)?),
            Self::Running { runtime, client } => {
                read(runtime.block_on(client.post(&format!("/imports/{import}/undo"), json!({})))?)
            }
        }
    }
}
