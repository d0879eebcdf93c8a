//! Accounts and settings.

use super::people::Problems;
use super::requests::ask;
use super::{Desk, DeskError, StaffView};
use crate::keys::{KeyError, Slot};
use crate::packs;
use crate::policy::{Actor, Ask};
use crate::records::{Asked, SETTINGS_ID, Settings, Staff, StaffRole};
use crate::vault::Record;
use crate::zone::Zone;
use casemesh_crypto::passphrase::{Cost, PasswordHash};
use casemesh_crypto::random::os_rng;
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::terms::Currency;
use casemesh_protocol::time::Timestamp;
use casemesh_protocol::timers::{self, Hours, Rules};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Shortest password where it is the only factor (NIST 800-63B-4).
pub const PASSWORD_CHARS_MIN: usize = 15;

/// Longest name of a team.
const TEAM_BYTES_MAX: usize = 100;
/// Longest time for which a referral waits before it goes.
const RECALL_MINUTES_MAX: u16 = 60;

/// An account as entered.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StaffInput {
    /// The name to sign in with.
    pub sign_in: String,
    /// The name to show.
    pub name: String,
    /// Roles.
    pub roles: Vec<String>,
    /// The first password.
    pub password: String,
    /// Whether this account can open the locked office.
    pub unlocks: bool,
    /// The day on which it ends by itself; empty for never.
    #[serde(default)]
    pub ends_on: String,
    /// The hour of that day, for example 17:00; its end when empty.
    #[serde(default)]
    pub ends_at: String,
}

/// New roles of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RolesInput {
    /// Roles.
    pub roles: Vec<String>,
    /// The day on which it ends by itself; empty for never.
    pub ends_on: String,
    /// The hour of that day, for example 17:00; its end when empty.
    pub ends_at: String,
}

impl std::fmt::Debug for StaffInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StaffInput({})", self.roles.join(","))
    }
}

/// Settings as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsInput {
    /// The office's name.
    pub name: String,
    /// All see all but sealed cases.
    pub small_office: bool,
    /// The currency that forms start with.
    pub currency: String,
    /// Modules that are on.
    pub modules: Vec<String>,
    /// Whether a caseworker's closure waits for a supervisor.
    pub approve_closure: bool,
    /// Whether accounts that administer need a second factor.
    pub factor_to_administer: bool,
    /// The time zone, for example Africa/Johannesburg; as it was when empty.
    pub zone: String,
    /// Fields of a person that the form leaves out: local_name, age_band, nationality, language, address, area, identifier.
    pub hidden_fields: Vec<String>,
    /// Figures that the office's page leaves out: cases_by_type, referrals_by_state, amount_recovered.
    pub hidden_figures: Vec<String>,
    /// For so many minutes, at most 60, a referral that is not urgent can be taken back before it goes.
    pub recall_minutes: u16,
    /// Where this office is stricter than its network: hours by rule (deliver, acknowledge, decide, first_contact, status,
    /// feedback, expire), for a routine, an urgent and an emergency referral; zero where it is not.
    #[schema(value_type = Object)]
    pub timers: BTreeMap<String, Hours>,
}

impl From<Settings> for SettingsInput {
    fn from(settings: Settings) -> Self {
        Self {
            name: settings.name,
            small_office: settings.small_office,
            currency: settings.currency.to_string(),
            modules: settings.modules,
            approve_closure: settings.approve_closure,
            factor_to_administer: settings.factor_to_administer,
            zone: settings.zone,
            hidden_fields: settings.hidden_fields,
            hidden_figures: settings.hidden_figures,
            recall_minutes: settings.recall_minutes,
            timers: settings.timers.map(hours_of).unwrap_or_default(),
        }
    }
}

/// No rule of the office's own.
const NO_TIMERS: Rules = Rules {
    deliver_h: [0; 3],
    acknowledge_h: [0; 3],
    decide_h: [0; 3],
    first_contact_h: [0; 3],
    status_h: [0; 3],
    feedback_h: [0; 3],
    expire_h: [0; 3],
};

/// The rules by their names.
pub(super) fn hours_of(mut rules: Rules) -> BTreeMap<String, Hours> {
    let of = |name: &str| Some((name.to_owned(), *rules.named_mut(name)?));
    Rules::NAMES.into_iter().filter_map(of).collect()
}

/// What is wrong with a password, if anything: too short, too long, or one that everybody tries.
pub fn password_problem(password: &str, names: &[&str]) -> Option<&'static str> {
    let lower = password.to_lowercase();
    let known = names.iter().any(|name| name.len() >= 4 && lower.contains(&name.to_lowercase()));
    let mut letters: Vec<char> = lower.chars().collect();
    let beyond_common: String = COMMON_WORDS
        .iter()
        .fold(lower.clone(), |left, word| left.replace(word, ""))
        .chars()
        .filter(|letter| !letter.is_ascii_digit())
        .collect();
    letters.sort_unstable();
    letters.dedup();
    if password.chars().count() < PASSWORD_CHARS_MIN {
        Some("password-short")
    } else if password.len() > casemesh_crypto::passphrase::PASSWORD_BYTES_MAX {
        Some("password-long")
    } else if known || letters.len() < 5 || beyond_common.len() < 6 {
        Some("password-common")
    } else {
        None
    }
}

/// Words of which, with digits, guessers' first passwords are made.
const COMMON_WORDS: &[&str] = &["password", "qwerty", "letmein", "welcome", "casemesh", "admin"];

fn key_error(error: KeyError) -> DeskError {
    DeskError::Partner(error.to_string())
}

/// When an account ends by itself: at an hour of a day, or at the end of that day.
fn end_of(problems: &mut Problems, day: &str, hour: &str, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
    let day = problems.day("ends_on", day);
    let hour = crate::names::ascii_digits(hour.trim());
    let minute_of_day = match hour.split_once(':').map(|(hour, minute)| (hour.parse::<u32>(), minute.parse::<u32>())) {
        None if hour.is_empty() => Some(24 * 60),
        Some((Ok(hour), Ok(minute))) if hour < 24 && minute < 60 => Some(hour * 60 + minute),
        _ => None,
    };
    let Some(minutes) = minute_of_day else {
        problems.with("ends_at", "not-an-hour", &hour);
        return None;
    };
    let ends = zone.instant(day?, minutes);
    if ends <= now {
        problems.add("ends_on", "in-the-past");
    }
    Some(ends)
}

fn hash_of(password: &str, cost: Cost) -> Result<PasswordHash, DeskError> {
    let hash = PasswordHash::new(password, cost, &mut os_rng());
    hash.map_err(|_| DeskError::Invalid(vec![super::FieldProblem::new("password", "password-long")]))
}

fn roles_of(problems: &mut Problems, words: &[String]) -> Vec<StaffRole> {
    let mut roles: Vec<StaffRole> = words.iter().filter_map(|role| problems.word("roles", role)).collect();
    if words.is_empty() {
        problems.add("roles", "required");
    }
    roles.sort_unstable();
    roles.dedup();
    roles
}

impl Desk {
    /// How long answers to a referral may take here: as the network says, and stricter where this office wants.
    pub fn rules(&self) -> BTreeMap<String, Hours> {
        hours_of(self.office.rules())
    }

    /// All accounts.
    ///
    /// # Errors
    /// When the account does not administer.
    pub fn staff_list(&self) -> Result<Vec<StaffView>, DeskError> {
        self.administers()?;
        let key_file = self.office.vault.key_file().map_err(key_error)?;
        let tables = self.office.index.read();
        let waits = |staff: StaffId| {
            let mut open = tables.requests.values().filter(|request| request.decided.is_none());
            open.any(|request| matches!(request.asked, Asked::Account(about, ..) if about == staff))
        };
        Ok(tables
            .staff
            .values()
            .map(|member| StaffView {
                id: member.id,
                sign_in: member.sign_in.clone(),
                name: member.name.clone(),
                roles: member.roles.clone(),
                active: member.is_in_use(self.now()),
                unlocks: key_file.has_slot(member.id),
                ends: member.ends,
                has_factor: member.factor.is_some(),
                waits: waits(member.id),
                team: member.team.clone(),
            })
            .collect())
    }

    /// Whether this account administers, with the second factor that the office may ask for.
    pub(super) fn administers(&self) -> Result<(), DeskError> {
        self.allow(Ask::Administer)?;
        let needed = self.office.settings().is_some_and(|settings| settings.factor_to_administer);
        if needed && !self.account().has_factor { Err(DeskError::FactorNeeded) } else { Ok(()) }
    }

    /// Makes an account. It comes into use when somebody else has approved it, if there is anybody else who could.
    ///
    /// # Errors
    /// When fields are wrong or the sign-in name is taken.
    pub fn add_staff(&self, input: &StaffInput, cost: Cost) -> Result<StaffId, DeskError> {
        self.administers()?;
        let mut problems = self.problems();
        let sign_in = problems.required_text("sign_in", &input.sign_in, 64);
        let name = problems.required_text("name", &input.name, 200);
        let roles = roles_of(&mut problems, &input.roles);
        let ends = end_of(&mut problems, &input.ends_on, &input.ends_at, &self.zone(), self.now());
        if input.unlocks && roles.contains(&StaffRole::Volunteer) {
            problems.add("unlocks", "volunteer-unlocks");
        }
        if let Some(problem) = password_problem(&input.password, &[&sign_in, &name]) {
            problems.add("password", problem);
        }
        problems.done()?;
        let id = StaffId::random(&mut os_rng());
        let unlocks = input.unlocks;
        let waits = self.has_approver(&Asked::Account(id, roles.clone(), ends, None));
        let mut member = Staff {
            id,
            sign_in,
            name,
            roles: roles.clone(),
            password: None,
            active: !waits,
            language: None,
            made: self.now(),
            factor: None,
            pin: None,
            ends,
            first_password: true,
            sessions_from: None,
            signed_in: None,
            team: String::new(),
        };
        let slot = if unlocks { Some(self.new_slot(&member, &input.password, cost)?) } else { None };
        if !unlocks {
            member.password = Some(hash_of(&input.password, cost)?);
        }
        let asked = Asked::Account(id, roles, ends, slot);
        // Who waits for approval has no way to the office key yet.
        if !waits {
            self.before_carrying_out(&asked)?;
        }
        let added = self.write("add_staff", move |tx| {
            let key = crate::keys::name_key(&member.sign_in);
            let taken =
                tx.list::<Staff>(Staff::TOP)?.iter().any(|other| crate::keys::name_key(&other.record.sign_in) == key);
            if taken {
                return Err(DeskError::Invalid(vec![super::FieldProblem::new("sign_in", "name-taken")]));
            }
            tx.insert(&member)?;
            tx.about(member.id());
            if waits { ask(tx, Vec::new(), asked).map(drop) } else { Ok(()) }
        });
        if added.is_err() && unlocks && !waits {
            self.drop_slot(id);
        }
        added.map(|()| id)
    }

    /// Gives an account other roles, or another end. Somebody else approves it, if there is anybody else who could.
    ///
    /// # Errors
    /// When fields are wrong, or there is no such account.
    pub fn change_roles(&self, staff: StaffId, input: &RolesInput) -> Result<(), DeskError> {
        self.administers()?;
        let mut problems = self.problems();
        let roles = roles_of(&mut problems, &input.roles);
        let ends = end_of(&mut problems, &input.ends_on, &input.ends_at, &self.zone(), self.now());
        let slots = self.office.vault.key_file().map_err(key_error)?;
        if roles.contains(&StaffRole::Volunteer) && slots.has_slot(staff) {
            problems.add("roles", "volunteer-unlocks");
        }
        problems.done()?;
        let asked = Asked::Account(staff, roles, ends, None);
        let (desk, waits) = (self.clone(), self.has_approver(&asked));
        self.write("change_roles", move |tx| {
            let id = RecordId::new(*staff.as_bytes());
            let member = tx.get::<Staff>(Staff::TOP, id)?.ok_or(DeskError::NotFound)?.record;
            if !member.active {
                return Err(DeskError::Invalid(vec![super::FieldProblem::new("roles", "account-ended")]));
            }
            tx.about(id);
            if waits { ask(tx, Vec::new(), asked).map(drop) } else { desk.carry_out(tx, &asked) }
        })
    }

    /// Does something to the account of somebody else; where the account approves things, or gets another password, a third
    /// person approves it first, if there is one. Whether it waits for that.
    fn do_or_ask(&self, action: &str, asked: Asked, always: bool) -> Result<bool, DeskError> {
        let staff = asked.account().ok_or(DeskError::NotFound)?;
        if staff == self.actor.staff {
            return Err(DeskError::Invalid(vec![super::FieldProblem::new("staff", "own-account")]));
        }
        let approves = {
            let tables = self.office.index.read();
            let member = tables.staff.get(&staff).ok_or(DeskError::NotFound)?;
            let roles = member.roles.clone();
            Actor { staff, roles, small_office: self.actor.small_office, in_team: false }
                .may(Ask::ApproveAccounts)
                .is_ok()
        };
        let waits = (always || approves) && self.has_approver(&asked);
        let desk = self.clone();
        let held = asked.clone();
        if !waits {
            self.before_carrying_out(&asked)?;
        }
        self.write(action, move |tx| {
            tx.about(RecordId::new(*staff.as_bytes()));
            if waits { ask(tx, Vec::new(), held).map(drop) } else { desk.carry_out(tx, &held) }
        })?;
        if let (false, Asked::End(staff)) = (waits, asked) {
            self.drop_slot(staff);
        }
        Ok(waits)
    }

    /// Puts somebody into a team, or out of all of them where the name is empty. It changes what they may see: somebody else
    /// approves it, if there is anybody else who could. Whether it waits for that.
    ///
    /// # Errors
    /// When the name is too long, it is one's own account, or there is no such account.
    pub fn change_team(&self, staff: StaffId, team: &str) -> Result<bool, DeskError> {
        self.administers()?;
        let mut problems = self.problems();
        let team = problems.text("team", team, TEAM_BYTES_MAX);
        problems.done()?;
        self.do_or_ask("change_team", Asked::Team(staff, team), true)
    }

    /// Takes the second factor of somebody who lost telephone and printed codes away. Whether it waits for approval.
    ///
    /// # Errors
    /// When there is no such account, or it is one's own.
    pub fn reset_factor(&self, staff: StaffId) -> Result<bool, DeskError> {
        self.administers()?;
        self.do_or_ask("reset_factor", Asked::ResetFactor(staff), false)
    }

    /// Gives somebody who forgot the password another first one. Whether it waits for approval.
    ///
    /// # Errors
    /// When there is no such account in use, it is one's own, or the password is too weak.
    pub fn reset_password(&self, staff: StaffId, password: &str, cost: Cost) -> Result<bool, DeskError> {
        self.administers()?;
        let now = self.now();
        let member = self.office.index.read().staff.get(&staff).cloned();
        let member = member.filter(|member| member.is_in_use(now)).ok_or(DeskError::NotFound)?;
        let mut problems = self.problems();
        if let Some(problem) = password_problem(password, &[&member.sign_in, &member.name]) {
            problems.add("password", problem);
        }
        problems.done()?;
        let file = self.office.vault.key_file().map_err(key_error)?;
        let (hash, slot) = if file.has_slot(staff) {
            (None, Some(self.new_slot(&member, password, cost)?))
        } else {
            (Some(hash_of(password, cost)?), None)
        };
        self.do_or_ask("reset_password", Asked::ResetPassword(staff, hash, slot), true)
    }

    /// A slot for an account, which opens nothing until it is put in the key file.
    fn new_slot(&self, member: &Staff, password: &str, cost: Cost) -> Result<Slot, DeskError> {
        let file = self.office.vault.key_file().map_err(key_error)?;
        let slot = file.make_slot(&self.office.keys, member.id, &member.sign_in, password, cost, &mut os_rng());
        slot.map_err(key_error)
    }

    /// Whether this account may end the sessions of another.
    ///
    /// # Errors
    /// When it does not administer.
    pub fn may_end_sessions(&self, staff: StaffId) -> Result<(), DeskError> {
        self.administers()?;
        self.note("end_sessions", RecordId::new(*staff.as_bytes()));
        Ok(())
    }

    /// Ends an account: its sessions die with it, and its way to the office key. Whether it waits for approval.
    ///
    /// # Errors
    /// When it is one's own, there is none, or nobody else could open the office any more.
    pub fn end_staff(&self, staff: StaffId) -> Result<bool, DeskError> {
        self.administers()?;
        self.leaves_somebody(staff)?;
        self.do_or_ask("end_staff", Asked::End(staff), false)
    }

    /// That somebody can still open the office when an account has ended.
    pub(super) fn leaves_somebody(&self, staff: StaffId) -> Result<(), DeskError> {
        let file = self.office.vault.key_file().map_err(key_error)?;
        let tables = self.office.index.read();
        let now = self.now();
        let is_left = tables.staff.values().any(|member| {
            member.id != staff && member.is_in_use(now) && member.ends.is_none() && file.has_slot(member.id)
        });
        if file.has_slot(staff) && !is_left {
            return Err(DeskError::Invalid(vec![super::FieldProblem::new("staff", "last-unlocking")]));
        }
        Ok(())
    }

    pub(super) fn drop_slot(&self, staff: StaffId) {
        let removed = self.office.vault.change_key_file(|file, _| {
            file.remove_slot(staff);
            Ok(())
        });
        if let Err(error) = removed {
            tracing::error!(%error, "the key file could not be written; the old slot still opens the office");
        }
    }

    /// The settings.
    ///
    /// # Errors
    /// When the account does not administer.
    pub fn settings(&self) -> Result<Settings, DeskError> {
        self.administers()?;
        self.office.settings().ok_or(DeskError::NotFound)
    }

    /// The currency that forms start with.
    pub fn currency(&self) -> String {
        self.office.settings().map(|settings| settings.currency.to_string()).unwrap_or_default()
    }

    /// Fields of a person that the form leaves out.
    pub fn hidden_fields(&self) -> Vec<String> {
        self.office.settings().map(|settings| settings.hidden_fields).unwrap_or_default()
    }

    /// Changes the settings.
    ///
    /// # Errors
    /// When fields are wrong.
    pub fn change_settings(&self, input: &SettingsInput) -> Result<(), DeskError> {
        self.administers()?;
        let mut problems = self.problems();
        let name = problems.required_text("name", &input.name, 200);
        let currency: Option<Currency> = problems.word("currency", &input.currency);
        let known = packs::modules();
        if let Some(unknown) = input.modules.iter().find(|module| !known.contains(module.as_str())) {
            problems.with("modules", "unknown-value", unknown);
        }
        if let Some(unknown) = input.hidden_fields.iter().find(|field| !packs::HIDEABLE.contains(&field.as_str())) {
            problems.with("hidden_fields", "unknown-value", unknown);
        }
        let hidden_figures = input.hidden_figures.clone();
        let numbers = || crate::indicators::national().indicators.iter().map(|one| &one.id);
        if let Some(unknown) = hidden_figures.iter().find(|figure| numbers().all(|known| known != *figure)) {
            problems.with("hidden_figures", "unknown-value", unknown);
        }
        let mut timers = NO_TIMERS;
        for (name, hours) in &input.timers {
            match timers.named_mut(name) {
                Some(own) if hours.iter().all(|hours| *hours <= timers::YEAR) => *own = *hours,
                _ => problems.with("timers", "not-in-range", format!("0–{}", timers::YEAR)),
            }
        }
        if input.recall_minutes > RECALL_MINUTES_MAX {
            problems.with("recall_minutes", "not-in-range", format!("0–{RECALL_MINUTES_MAX}"));
        }
        let zone = input.zone.trim().to_owned();
        if !zone.is_empty() && Zone::named(&zone).is_none() {
            problems.with("zone", "no-such-zone", &zone);
        }
        problems.done()?;
        let Some(currency) = currency else { return Err(DeskError::NotFound) };
        if input.factor_to_administer && !self.account().has_factor {
            return Err(DeskError::FactorNeeded);
        }
        let SettingsInput { small_office, modules, approve_closure, factor_to_administer, hidden_fields, .. } =
            input.clone();
        let recall_minutes = input.recall_minutes;
        let timers = Some(timers).filter(|own| hours_of(*own).values().flatten().any(|hours| *hours > 0));
        self.write("change_settings", move |tx| {
            let mut sealed = tx.get::<Settings>(Settings::TOP, SETTINGS_ID)?.ok_or(DeskError::NotFound)?;
            let changed = Settings { name, currency, small_office, modules, ..sealed.record };
            sealed.record =
                Settings { approve_closure, factor_to_administer, hidden_fields, hidden_figures, ..changed };
            sealed.record.recall_minutes = recall_minutes;
            sealed.record.timers = timers;
            if !zone.is_empty() {
                sealed.record.zone = zone;
            }
            tx.about(SETTINGS_ID);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    /// Chooses one's language.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn choose_language(&self, language: &str) -> Result<(), DeskError> {
        let id = RecordId::new(*self.actor.staff.as_bytes());
        let language = language.to_owned();
        self.write("choose_language", move |tx| {
            let mut sealed = tx.get::<Staff>(Staff::TOP, id)?.ok_or(DeskError::NotFound)?;
            sealed.record.language = Some(language);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_not_the_first_guess() {
        for (password, problem) in [
            ("short", Some("password-short")),
            ("password123456789", Some("password-common")),
            ("aaaaaaaaaaaaaaaaaaaa", Some("password-common")),
            ("thandi is my name ok", Some("password-common")),
            ("paper boat on the river", None),
            ("слон купил велосипед", None),
        ] {
            assert_eq!(password_problem(password, &["thandi"]), problem, "{password}");
        }
        assert_eq!(password_problem(&"abcdefgh".repeat(40), &[]), Some("password-long"));
    }
}
