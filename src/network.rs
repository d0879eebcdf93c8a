//! `casemesh join`: what stewards and registrars do with their files, and how an office gets in and out.

use crate::cli::{ask_secret, say, with_node};
use anyhow::{Context as _, Result, bail};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::share::{self, Share, ShareError, Split};
use casemesh_crypto::sign::{SigningKey, VerifyingKey};
use casemesh_crypto::wire;
use casemesh_node::clock::Clock;
use casemesh_node::indicators;
use casemesh_node::lobby::{self, Reception};
use casemesh_node::node::{self, Founding, NodeError, OfflineFolder};
use casemesh_node::office::spoken;
use casemesh_protocol::bounded::List;
use casemesh_protocol::directory::{Card, Directory, NetworkFile};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::limits::DIRECTORY_BYTES_MAX;
use casemesh_protocol::statistics::{AgreementText, Way, agreement_hash};
use casemesh_protocol::tally::error_bar;
use casemesh_protocol::timers::Rules;
use casemesh_protocol::trust::{EndReason, Registrar, Root, Roots, SignedRoot};
use clap::Subcommand;
use std::path::{Path, PathBuf};

/// Steps of joining and keeping a network.
#[derive(Debug, Subcommand)]
pub(crate) enum JoinStep {
    /// Write this office's card, for the registrar
    Card {
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// The file to write
        #[arg(long)]
        out: PathBuf,
    },
    /// Make a steward's key, or show the public half of one
    Key {
        /// The key file; made when it does not exist
        file: PathBuf,
    },
    /// As its stewards: found a network
    Found {
        /// The network's name
        #[arg(long)]
        name: String,
        /// A steward's key file, made when it does not exist; can be repeated
        #[arg(long = "steward", required = true)]
        stewards: Vec<PathBuf>,
        /// The public key of a steward who is elsewhere (join key shows it); can be repeated
        #[arg(long = "steward-elsewhere")]
        elsewhere: Vec<String>,
        /// How many stewards must sign a decision; by default one
        #[arg(long, default_value_t = 1)]
        needed: u8,
        /// The card of an office that lets others in; can be repeated. Without one, the first steward's key does
        #[arg(long = "registrar")]
        registrars: Vec<PathBuf>,
        /// How long an answer may take, in hours for a routine, an urgent and an emergency referral; can be repeated:
        /// deliver, acknowledge, decide, first-contact, status, feedback, expire
        #[arg(long = "hours", value_name = "decide=168/72/8")]
        hours: Vec<String>,
        /// The file to write
        #[arg(long)]
        out: PathBuf,
        /// Cards of offices to let in at once
        cards: Vec<PathBuf>,
    },
    /// As its stewards: change stewards, registrars or rules of a network
    Change {
        /// The network file; it is written anew
        #[arg(long)]
        network: PathBuf,
        /// A steward's key file; can be repeated
        #[arg(long = "steward", required = true)]
        stewards: Vec<PathBuf>,
        /// The public key of a new steward; can be repeated
        #[arg(long)]
        add_steward: Vec<String>,
        /// The public key of a steward who goes; can be repeated
        #[arg(long)]
        drop_steward: Vec<String>,
        /// How many stewards must sign from now on
        #[arg(long)]
        needed: Option<u8>,
        /// An office that lets others in from now on: name or id of a member; can be repeated
        #[arg(long)]
        add_registrar: Vec<String>,
        /// An office that does so no longer; what it decided before holds; can be repeated
        #[arg(long)]
        retire_registrar: Vec<String>,
        /// An office whose decisions hold no more, as its keys were stolen; can be repeated
        #[arg(long)]
        strike_registrar: Vec<String>,
        /// How long an answer may take from now on, as for `found`; can be repeated
        #[arg(long = "hours", value_name = "decide=168/72/8")]
        hours: Vec<String>,
        /// What offices are to tell from now on: an agreement file (`casemesh stats check` reads it first); can be repeated
        #[arg(long)]
        agree: Vec<PathBuf>,
        /// The id of an agreement that ends; can be repeated
        #[arg(long)]
        end_agreement: Vec<String>,
    },
    /// As a steward: sign what the others decided, in their file
    Endorse {
        /// The network file; it is written anew
        #[arg(long)]
        network: PathBuf,
        /// The steward's key file
        #[arg(long)]
        steward: PathBuf,
    },
    /// As a registrar with a key file: let the offices of these cards in
    Grant {
        /// The network file; it is written anew
        #[arg(long)]
        network: PathBuf,
        /// The registrar's key file
        #[arg(long)]
        key: PathBuf,
        /// The cards
        #[arg(required = true)]
        cards: Vec<PathBuf>,
    },
    /// As a registrar with a key file: end an office's membership
    End {
        /// The network file; it is written anew
        #[arg(long)]
        network: PathBuf,
        /// The registrar's key file
        #[arg(long)]
        key: PathBuf,
        /// Why: closed, left, removed or keys_lost
        #[arg(long, default_value = "removed")]
        reason: String,
        /// The office that goes on with its work: name or id
        #[arg(long)]
        successor: Option<String>,
        /// The office: name or id
        office: String,
    },
    /// Show what a network file says
    Show {
        /// The network file
        network: PathBuf,
    },
    /// With an invitation: knock at the registrar's until this office is let in (while its node does not run; else the page "Other offices")
    Ask {
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// The invitation; it is asked for when it is left out
        invitation: Option<String>,
    },
    /// Take a network file into this office (while its node does not run)
    Accept {
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// The network file
        file: PathBuf,
    },
    /// Make this office's signing key good for another year, with the recovery shares (while its node does not run)
    Renew {
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
    },
    /// Change the office's root key to the one on the second sheet, and print new shares (while its node does not run)
    Rotate {
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// Sign in with this name; with the recovery shares when it is left out
        #[arg(long = "as")]
        name: Option<String>,
        /// The office's computer or its keys may be in other hands: draw new ones, and take the old ones back
        #[arg(long)]
        new_keys: bool,
        /// Two of three shares instead of three of five
        #[arg(long)]
        small_office: bool,
    },
    /// Forget the network that this office left, and destroy the keys with which others can write to it
    Leave {
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
    },
}

/// Does one step.
pub(crate) fn join(step: JoinStep) -> Result<()> {
    let now = Clock::system().now();
    match step {
        JoinStep::Card { folder, out } => {
            if node::read_config(&folder)?.practice {
                return Err(NodeError::Practice.into());
            }
            std::fs::write(&out, node::read_card(&folder)?)?;
            say(format_args!("Give {} to your network's registrar.", out.display()));
        }
        JoinStep::Key { file } => say(hex(key_file(&file)?.verifying_key().as_bytes())),
        JoinStep::Found { name, stewards, elsewhere, needed, registrars, hours, out, cards } => {
            let keys: Vec<SigningKey> = stewards.iter().map(|file| key_file(file)).collect::<Result<_>>()?;
            let mut public: Vec<VerifyingKey> = keys.iter().map(SigningKey::verifying_key).collect();
            public.extend(elsewhere.iter().map(|text| public_key(text)).collect::<Result<Vec<_>>>()?);
            let registrar_cards = read_all(&registrars)?;
            let mut who: Vec<Registrar> = Vec::new();
            for bytes in &registrar_cards {
                who.push(Registrar::Office(card(bytes)?.genesis.office()));
            }
            if who.is_empty() && needed > 1 {
                bail!("say who lets offices in: --registrar CARD, the card of an office that does");
            }
            let first = keys.first().context("a network needs a steward")?;
            if who.is_empty() {
                who.push(Registrar::Key(first.verifying_key()));
            }
            let founding = Founding { name: &name, stewards: public, needed, registrars: who, rules: rules(&hours)? };
            let proposed = SignedRoot::proposed(&founding.root(now)?);
            let root = keys.iter().fold(proposed, |root, key| root.endorsed(key));
            let own: Vec<Card> = registrar_cards.iter().map(|bytes| card(bytes)).collect::<Result<_>>()?;
            let file = NetworkFile::new(List::new(vec![root])?, List::default(), List::new(own)?);
            let is_signed = Roots::follow(file.roots.as_slice()).is_ok();
            if !is_signed || cards.is_empty() {
                write(&out, &wire::encode(&file))?;
                return say_next(&out, is_signed, needed);
            }
            write(&out, &node::grant(&file, &read_all(&cards)?, first, now)?)?;
            say(format_args!("Give {} to every office of the network.", out.display()));
        }
        JoinStep::Change {
            network,
            stewards,
            add_steward,
            drop_steward,
            needed,
            add_registrar,
            retire_registrar,
            strike_registrar,
            hours,
            agree,
            end_agreement,
        } => {
            let mut file = NetworkFile::read(&read(&network)?)?;
            let directory = Directory::read(&wire::encode(&file), None)?;
            let keys: Vec<SigningKey> = stewards.iter().map(|file| key_file(file)).collect::<Result<_>>()?;
            let offices = |names: &[String]| -> Result<Vec<Registrar>> {
                names.iter().map(|name| Ok(Registrar::Office(member(&directory, name)?))).collect()
            };
            let (added, retired) = (offices(&add_registrar)?, offices(&retire_registrar)?);
            let struck = offices(&strike_registrar)?;
            let public = |texts: &[String]| texts.iter().map(|text| public_key(text)).collect::<Result<Vec<_>>>();
            let (come, go) = (public(&add_steward)?, public(&drop_steward)?);
            let rules = rules(&hours)?;
            let mut next = directory.roots().next(now, |_| ());
            let mut all: Vec<VerifyingKey> = next.stewards.iter().copied().filter(|key| !go.contains(key)).collect();
            all.extend(come);
            next.stewards = List::new(all)?;
            next.needed = needed.unwrap_or(next.needed);
            let stays = |one: &Registrar| !retired.contains(one) && !struck.contains(one);
            let mut registrars: Vec<Registrar> = next.registrars.iter().copied().filter(stays).collect();
            registrars.extend(added);
            next.registrars = List::new(registrars)?;
            let mut past: Vec<_> = next.retired.iter().copied().filter(|(one, _)| !struck.contains(one)).collect();
            past.extend(retired.iter().map(|one| (*one, now)));
            next.retired = List::new(past)?;
            next.rules = rules.or(next.rules);
            if !agree.is_empty() || !end_agreement.is_empty() {
                let texts = agree.iter().map(|file| agreement_text(file)).collect::<Result<Vec<_>>>()?;
                let (before, _) = indicators::agreements(directory.agreements());
                let all = indicators::changed(&before, &texts, &end_agreement).map_err(NodeError::Input)?;
                next.agreements = List::new(all.iter().map(agreement_hash).collect())?;
                file.agreements = List::new(all)?;
            }
            let proposed = keys.iter().fold(SignedRoot::proposed(&next), |root, key| root.endorsed(key));
            let mut roots = file.roots.into_vec();
            roots.push(proposed);
            file.roots = List::new(roots)?;
            write(&network, &wire::encode(&file))?;
            let is_signed = Roots::follow(file.roots.as_slice()).is_ok();
            say_next(&network, is_signed, next.needed)?;
        }
        JoinStep::Endorse { network, steward } => {
            let mut file = NetworkFile::read(&read(&network)?)?;
            let key = key_file(&steward)?;
            let mut roots = file.roots.into_vec();
            let last = roots.pop().context("this file holds no decision of stewards")?;
            let root = last.read()?;
            say_root(&root);
            for text in file.agreements.iter().filter(|text| root.agreements.as_slice().contains(&agreement_hash(text)))
            {
                say_agreement(text.as_str())?;
            }
            roots.push(last.endorsed(&key));
            file.roots = List::new(roots)?;
            write(&network, &wire::encode(&file))?;
            let is_signed = Roots::follow(file.roots.as_slice());
            match is_signed {
                Ok(_) => say_next(&network, true, 0)?,
                Err(error) => say(error),
            }
        }
        JoinStep::Grant { network, key, cards } => {
            let file = NetworkFile::read(&read(&network)?)?;
            let bytes = read_all(&cards)?;
            write(&network, &node::grant(&file, &bytes, &key_file(&key)?, now)?)?;
            say(format_args!("Give {} to every office of the network.", network.display()));
        }
        JoinStep::End { network, key, reason, successor, office } => {
            let bytes = read(&network)?;
            let directory = Directory::read(&bytes, None)?;
            let reason: EndReason = reason.parse().map_err(|error| NodeError::Input(format!("--reason: {error}")))?;
            let office = member(&directory, &office)?;
            let successor = successor.map(|name| member(&directory, &name)).transpose()?;
            let file = node::end_membership(&bytes, office, (reason, successor), &key_file(&key)?, now)?;
            write(&network, &file)?;
            say(format_args!("Give {} to every office of the network at once.", network.display()));
        }
        JoinStep::Show { network } => show(&read(&network)?)?,
        JoinStep::Ask { folder, invitation } => {
            let invitation = match invitation {
                Some(text) => text,
                None => ask_secret("Invitation")?,
            };
            ask_to_join(&folder, &invitation)?;
        }
        JoinStep::Accept { folder, file } => {
            let bytes = read(&file)?;
            let is_new = with_node(&folder, |node| Ok(node.join(&bytes)?))?;
            say(match is_new {
                true => "This office knows the network now. Start it with: casemesh serve",
                false => "Nothing in this file is new to this office.",
            });
        }
        JoinStep::Renew { folder } => {
            let folder = OfflineFolder::take(&folder)?;
            let (until, held) = node::renew_node_key(&folder, &ask_shares()?, &Clock::system())?;
            say(format_args!("The key of this office is good until {}.", until.day()));
            say(if held {
                "Start the node and sign in: its partners are told by themselves."
            } else {
                "It had ended: write a new card (casemesh join card) and give it to the registrar for a new network file."
            });
        }
        JoinStep::Rotate { folder, name, new_keys, small_office } => {
            let split = if small_office { Split::SMALL_OFFICE } else { Split::OFFICE };
            rotate(&folder, name.as_deref(), (split, new_keys))?;
        }
        JoinStep::Leave { folder } => {
            let folder = OfflineFolder::take(&folder)?;
            node::forget_network(&folder)?;
            say("This office is in no network any more. Its own records stay as they are.");
        }
    }
    Ok(())
}

/// Knocks until the office is in, for a quarter of an hour: the registrar's staff may be at the telephone with us.
fn ask_to_join(folder: &Path, text: &str) -> Result<()> {
    const KNOCKS: usize = 90;
    with_node(folder, |node| {
        let invitation = lobby::begin_joining(folder, text, Clock::system().now())?;
        say("Ring the office that invited you. Both of you see these digits, if nobody is between you:");
        say(format_args!("\n  {}\n", spoken(&node.relay_office(), &invitation.registrar)));
        let mut last = None;
        for _ in 0..KNOCKS {
            let went = lobby::knock(folder, &invitation)?;
            if let Reception::In(file) = &went {
                node.join(file)?;
                lobby::end_joining(folder)?;
                say("This office is in the network. Start it with: casemesh serve");
                return Ok(());
            }
            if went == Reception::Refused {
                lobby::end_joining(folder)?;
                return Err(NodeError::Input(
                    "the invitation was used by another, taken back, or its time is over; ask for a new one".into(),
                )
                .into());
            }
            if last.as_ref() != Some(&went) {
                say(match went {
                    Reception::Waiting => "Your card is there. It waits until somebody lets this office in.",
                    _ => "Their computer cannot be reached just now; it is tried again.",
                });
            }
            last = Some(went);
            std::thread::sleep(std::time::Duration::from_secs(10));
        }
        say(
            "Nobody has let this office in yet. Start its node: it goes on knocking for as long as the invitation is good.",
        );
        Ok(())
    })
}

fn rotate(folder: &Path, name: Option<&str>, how: (Split, bool)) -> Result<()> {
    let held = OfflineFolder::take(folder)?;
    let opened = match name {
        Some(name) => node::Opened::ByPassword(name.to_owned(), ask_secret(&format!("Password of {name}"))?),
        None => node::Opened::ByShares(ask_shares()?),
    };
    let sheet = ask_secret("The key on the second sheet (next root key)")?;
    let printed = node::rotate_root(&held, &opened, sheet.trim(), how, &Clock::system())?;
    say("The root key of this office is changed. The old shares and the old second sheet are good for nothing now.\n");
    say("NEW RECOVERY SHARES. They are shown this once: write each on a sheet of its own.\n");
    for (i, share) in printed.shares.iter().enumerate() {
        say(format_args!("  sheet {}: {share}", i + 1));
    }
    say(format_args!("\nNEXT ROOT KEY. Keep this sheet apart from the others:\n\n  {}\n", printed.next_root));
    say(match how.1 {
        false => "Start the node and sign in: its partners are told by themselves.",
        true => {
            "Partners do not know the new keys yet: give the new card (casemesh join card) to your registrar, who tells all others."
        }
    });
    Ok(())
}

fn ask_shares() -> Result<casemesh_crypto::secret::Secret> {
    let mut shares = Vec::new();
    loop {
        let text = ask_secret(&format!("Recovery share {}", shares.len() + 1))?;
        shares.push(Share::from_printed(text.trim())?);
        match share::combine(&shares) {
            Ok(seed) => return Ok(seed),
            Err(ShareError::TooFew { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn show(bytes: &[u8]) -> Result<()> {
    let directory = Directory::read(bytes, None)?;
    say_root(directory.roots().current());
    directory.agreements().try_for_each(|text| say_agreement(text.as_str()))?;
    for (office, member) in directory.members() {
        let registers = directory.roots().current().registrars.as_slice().contains(&Registrar::Office(*office));
        let mark = if registers { "  (registrar)" } else { "" };
        say(format_args!("  {}  {office}{mark}", member.record.name));
    }
    for said in directory.admissions().filter(|said| !said.is_admitted()) {
        let name = directory.outsider(&said.office).map(|member| member.record.name.to_string());
        say(format_args!("  out since {}: {}  {}", said.made.day(), name.unwrap_or_default(), said.office));
    }
    Ok(())
}

fn say_root(root: &Root) {
    say(format_args!(
        "Network {:?}, decision no. {} of {}: {} of {} stewards sign.",
        root.name.as_str(),
        root.number,
        root.made.day(),
        root.needed,
        root.stewards.as_slice().len()
    ));
    for steward in &root.stewards {
        say(format_args!("  steward {}", hex(steward.as_bytes())));
    }
    for registrar in &root.registrars {
        match registrar {
            Registrar::Key(key) => say(format_args!("  lets offices in: the key {}", hex(key.as_bytes()))),
            Registrar::Office(office) => say(format_args!("  lets offices in: the office {office}")),
        }
    }
}

fn agreement_text(file: &Path) -> Result<AgreementText> {
    let bytes = read(file)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is no text in UTF-8", file.display()))?;
    AgreementText::new(text).with_context(|| format!("{} is too long for an agreement", file.display()))
}

/// Reads an agreement before anybody signs it.
pub(crate) fn check_agreement(file: &Path) -> Result<()> {
    let text = agreement_text(file)?;
    indicators::read_new(text.as_str()).map_err(NodeError::Input)?;
    say_agreement(text.as_str())
}

/// What an agreement asks, and what of it is withheld where numbers are small.
fn say_agreement(text: &str) -> Result<()> {
    let (agreement, codes) = indicators::read_agreed(text).map_err(NodeError::Input)?;
    for code in &codes {
        let label = code.label.get("en").map_or("", String::as_str);
        let from = code.from.map(|from| format!(", from {from}")).unwrap_or_default();
        say(format_args!("  every office takes up {} {}: {label}{from}", code.list, code.code));
    }
    if agreement.indicators.is_empty() {
        return Ok(());
    }
    let from = agreement.terms.from.map(|from| format!(", from {from}")).unwrap_or_default();
    say(format_args!(
        "  offices tell: {} version {}, {}{from}, due {} days later",
        agreement.id, agreement.version, agreement.terms.every, agreement.terms.due_days
    ));
    if agreement.terms.way != Way::Plain {
        let [leader, helper] = agreement.terms.aggregators.as_slice() else { return Ok(()) };
        say(format_args!("    the sum of at least {} offices alone, added by", agreement.terms.least_offices));
        say(format_args!("    {leader} and\n    {helper}"));
        if let Some(noise) = agreement.noise_permille() {
            say(format_args!("    with noise: 95 of 100 numbers are off by at most {}", error_bar(noise)));
        }
    }
    for one in &agreement.indicators {
        let kept = match one.is_protected() {
            true => format!("numbers of people below {} withheld", agreement.terms.threshold),
            false => "exact".to_owned(),
        };
        say(format_args!("    {} ({kept})", one.title_in("en")));
    }
    Ok(())
}

fn say_next(file: &Path, is_signed: bool, needed: u8) -> Result<()> {
    match is_signed {
        true => say(format_args!("{} holds. Give it to the registrars and to every office.", file.display())),
        false => say(format_args!(
            "{} needs the signatures of {needed} stewards: give it to the others (casemesh join endorse).",
            file.display()
        )),
    }
    Ok(())
}

fn rules(hours: &[String]) -> Result<Option<Rules>> {
    let mut rules = None;
    for text in hours {
        rules = Some(rules.unwrap_or(Rules::DEFAULT).with(text)?);
    }
    Ok(rules)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = casemesh_node::disk::read_bounded(path, DIRECTORY_BYTES_MAX as u64)
        .with_context(|| format!("cannot read {}", path.display()))?;
    bytes.with_context(|| format!("there is no file {}", path.display()))
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
    paths.iter().map(|path| read(path)).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    casemesh_node::disk::replace(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn card(bytes: &[u8]) -> Result<Card> {
    wire::decode(bytes).map_err(|_| NodeError::Input("a file is no office's card".into()).into())
}

fn key_file(path: &Path) -> Result<SigningKey> {
    match casemesh_node::disk::read_bounded(path, 64)? {
        Some(bytes) => {
            let seed = casemesh_crypto::secret::Secret::from_slice(&bytes)
                .with_context(|| format!("{} is no steward's key file", path.display()))?;
            Ok(SigningKey::from_seed(&seed))
        }
        None => {
            let key = SigningKey::random(&mut os_rng());
            casemesh_node::disk::replace(path, key.to_seed().expose())?;
            Ok(key)
        }
    }
}

fn public_key(text: &str) -> Result<VerifyingKey> {
    let pairs = text.trim().as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    bytes.and_then(|bytes| VerifyingKey::from_slice(&bytes)).ok_or_else(|| {
        NodeError::Input(format!("{text:?} is no public key: 64 digits, as casemesh join key shows them")).into()
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The office of the network that is called so, or has that id.
pub(crate) fn member(directory: &Directory, text: &str) -> Result<OfficeId> {
    let is_called = |name: &str| name.to_lowercase() == text.trim().to_lowercase();
    let mut found = directory.members().filter(|(id, member)| {
        is_called(member.record.name.as_str()) || text.trim().parse::<OfficeId>().is_ok_and(|given| given == **id)
    });
    match (found.next(), found.next()) {
        (Some((id, _)), None) => Ok(*id),
        (None, _) => Err(NodeError::Input(format!("no office of the network is called {text:?}")).into()),
        (Some(_), Some(_)) => Err(NodeError::Input(format!("several offices are called {text:?}; give the id")).into()),
    }
}
