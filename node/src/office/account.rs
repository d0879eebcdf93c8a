//! One's own account: second factor, PIN, and what a sign-in asks of them.

use super::{Desk, DeskError, FieldProblem, Office, password_problem};
use crate::keys::{KeyError, KeyFile, Keys};
use crate::node::SignInError;
use crate::records::{Factor, Staff};
use crate::vault::{Record, Tx};
use casemesh_crypto::factor::FactorSecret;
use casemesh_crypto::passphrase::{Cost, PasswordHash};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::token;
use casemesh_protocol::id::{RecordId, StaffId};
use serde::Serialize;
use std::sync::PoisonError;
use utoipa::ToSchema;

/// Printed codes of a second factor.
const SPARE_CODES: usize = 10;
/// Symbols of one: 50 bits.
const SPARE_SYMBOLS: usize = 10;
/// Wrong codes in a row, after which no code is looked at for a while.
const WRONG_CODES_MAX: u32 = 5;
const WRONG_CODES_WAIT_MS: u64 = 15 * 60_000;
/// A sign-in within this time of another is the same one.
const SAME_SIGN_IN_MS: u64 = 30 * 60_000;
/// Digits of a PIN.
const PIN_DIGITS: std::ops::RangeInclusive<usize> = 6..=12;

/// A second factor that is not in use yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFactor {
    /// What the telephone takes, as text.
    pub secret: String,
    /// The same as an address for its camera.
    pub address: String,
}

/// One's own account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountView {
    /// Whether a second factor is set up.
    pub has_factor: bool,
    /// Printed codes that are left.
    pub spare_codes: usize,
    /// Whether a PIN is set.
    pub has_pin: bool,
}

impl Office {
    fn member(&self, staff: StaffId) -> Option<Staff> {
        self.index.read().staff.get(&staff).cloned()
    }

    /// Asks for the second factor of an account, if it has one; a code is good once.
    pub(crate) fn check_factor(&self, staff: StaffId, code: &str) -> Result<(), SignInError> {
        if self.member(staff).is_none_or(|member| member.factor.is_none()) {
            return Ok(());
        }
        if code.trim().is_empty() {
            return Err(SignInError::CodeNeeded);
        }
        let code = code.to_owned();
        // Judged on the writer: the same code in two sign-ins at a time is good for one.
        let used: Result<bool, DeskError> = self.vault.write(Some(staff), "use_code", move |tx| {
            let now_s = tx.now().ms() / 1000;
            let mut sealed = own_record(tx, staff)?;
            let Some(factor) = sealed.record.factor.as_mut() else { return Ok(true) };
            if !spend(factor, &code, now_s) {
                return Ok(false);
            }
            tx.update(&sealed.record, sealed.revision)?;
            Ok(true)
        });
        if used.unwrap_or(false) { Ok(()) } else { Err(SignInError::CodeWrong) }
    }

    /// Whether this is the PIN of a member of staff.
    pub(crate) fn is_pin_of(&self, staff: StaffId, pin: &str) -> bool {
        let member = self.member(staff).filter(|member| member.is_in_use(self.around.clock.now()));
        let hash = member.and_then(|member| member.pin);
        hash.is_some_and(|hash| hash.verify(&crate::names::ascii_digits(pin.trim())).is_ok())
    }
}

/// Uses a code up, if it is good.
fn spend(factor: &mut Factor, code: &str, now_s: u64) -> bool {
    let code = crate::names::ascii_digits(code.trim());
    if let Some(step) = factor.secret.check(&code, now_s, factor.used) {
        factor.used = step;
        return true;
    }
    let digest = token::digest(&code.to_uppercase().replace(['-', ' '], ""));
    let before = factor.spare.len();
    factor.spare.retain(|spare| *spare != digest);
    factor.spare.len() < before
}

fn own_record(tx: &Tx<'_>, staff: StaffId) -> Result<crate::vault::Sealed<Staff>, DeskError> {
    tx.get::<Staff>(Staff::TOP, RecordId::new(*staff.as_bytes()))?.ok_or(DeskError::NotFound)
}

impl Office {
    /// Notes that somebody signed in, so that home can say what is new to them. A sign-in soon after another, as after a power
    /// cut, is the same one.
    pub fn signed_in(&self, staff: StaffId) {
        let stamped = self.vault.write(Some(staff), "sign_in", move |tx| {
            let id = RecordId::new(*staff.as_bytes());
            let mut sealed = tx.get::<Staff>(Staff::TOP, id)?.ok_or(DeskError::NotFound)?;
            let now = tx.now();
            sealed.record.signed_in = Some(match sealed.record.signed_in {
                Some((last, before)) if now.ms_since(last) < SAME_SIGN_IN_MS => (last, before),
                earlier => (now, earlier.map(|(last, _)| last)),
            });
            Ok::<_, DeskError>(tx.update(&sealed.record, sealed.revision)?)
        });
        if let Err(error) = stamped {
            tracing::warn!(%error, "a sign-in could not be noted");
        }
    }
}

impl Desk {
    /// One's own account.
    pub fn account(&self) -> AccountView {
        let member = self.office.member(self.actor.staff);
        let factor = member.as_ref().and_then(|member| member.factor.as_ref());
        AccountView {
            has_factor: factor.is_some(),
            spare_codes: factor.map_or(0, |factor| factor.spare.len()),
            has_pin: member.as_ref().is_some_and(|member| member.pin.is_some()),
        }
    }

    /// Whether a PIN is set.
    pub fn has_pin(&self) -> bool {
        self.account().has_pin
    }

    /// A second factor to put into one's telephone. It counts when [`Self::set_factor`] has seen a code of it.
    pub fn new_factor(&self) -> NewFactor {
        self.factor_of(&FactorSecret::random(&mut os_rng()))
    }

    /// The same factor again, for a form that comes back.
    pub fn same_factor(&self, secret: &str) -> Option<NewFactor> {
        FactorSecret::from_base32(secret).map(|secret| self.factor_of(&secret))
    }

    fn factor_of(&self, secret: &FactorSecret) -> NewFactor {
        let secret = secret.to_base32();
        let encode = |text: &str| -> String {
            text.bytes()
                .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") })
                .collect()
        };
        let sign_in = self.office.member(self.actor.staff).map(|member| member.sign_in).unwrap_or_default();
        let (issuer, account) = (encode(&self.office_name()), encode(&sign_in));
        let address = format!("otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}");
        NewFactor { secret, address }
    }

    /// Sets the second factor up, if the telephone shows the right code. The printed codes: each is good once, and this
    /// is the only time that they are shown.
    ///
    /// # Errors
    /// When code or password are not right, or a factor is in use: that is taken away first, with a code of it.
    pub fn set_factor(&self, secret: &str, code: &str, password: &str) -> Result<Vec<String>, DeskError> {
        self.check_password("current", password)?;
        if self.account().has_factor {
            return Err(DeskError::Invalid(vec![FieldProblem::new("code", "factor-in-use")]));
        }
        let wrong = || DeskError::Invalid(vec![FieldProblem::new("code", "code-wrong")]);
        let secret = FactorSecret::from_base32(secret).ok_or_else(wrong)?;
        let code = crate::names::ascii_digits(code.trim());
        let used = secret.check(&code, self.now().ms() / 1000, 0).ok_or_else(wrong)?;
        let spare: Vec<String> = (0..SPARE_CODES).map(|_| token::spoken_code(SPARE_SYMBOLS, &mut os_rng())).collect();
        let factor = Factor { secret, used, spare: spare.iter().map(|code| token::digest(code)).collect() };
        let staff = self.actor.staff;
        self.write("set_factor", move |tx| {
            let mut sealed = own_record(tx, staff)?;
            sealed.record.factor = Some(factor);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })?;
        let half = SPARE_SYMBOLS / 2;
        Ok(spare.iter().filter_map(|code| Some(format!("{}-{}", code.get(..half)?, code.get(half..)?))).collect())
    }

    /// Takes one's second factor away, with a last code of it.
    ///
    /// # Errors
    /// When the code is not right.
    pub fn drop_factor(&self, code: &str) -> Result<(), DeskError> {
        self.check_code(code)?;
        let staff = self.actor.staff;
        self.write("drop_factor", move |tx| {
            let mut sealed = own_record(tx, staff)?;
            sealed.record.factor = None;
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    /// Asks for a code of one's second factor, before something that needs it.
    pub(super) fn check_code(&self, code: &str) -> Result<(), DeskError> {
        if !self.account().has_factor {
            return Err(DeskError::FactorNeeded);
        }
        let (staff, now) = (self.actor.staff, self.now());
        let tries = || self.office.wrong_codes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = tries()
            .get(&staff)
            .is_some_and(|(wrong, last)| *wrong >= WRONG_CODES_MAX && now.ms_since(*last) < WRONG_CODES_WAIT_MS);
        let checked = if is_over { Err(SignInError::CodeWrong) } else { self.office.check_factor(staff, code) };
        if checked.is_ok() {
            tries().remove(&staff);
            return Ok(());
        }
        let mut tries = tries();
        let (wrong, last) = tries.entry(staff).or_insert((0, now));
        if now.ms_since(*last) >= WRONG_CODES_WAIT_MS {
            *wrong = 0;
        }
        (*wrong, *last) = (wrong.saturating_add(1), if is_over { *last } else { now });
        drop(tries);
        self.office.vault.note_and_wait(Some(staff), "refused", None)?;
        Err(DeskError::Invalid(vec![FieldProblem::new("code", if is_over { "code-wait" } else { "code-wrong" })]))
    }

    /// Asks for the password of one's own account again, before something that an open session alone must not do.
    fn check_password(&self, field: &str, password: &str) -> Result<(), DeskError> {
        let member = self.office.member(self.actor.staff).ok_or(DeskError::NotFound)?;
        let is_right = match &member.password {
            Some(hash) => hash.verify(password).is_ok(),
            None => {
                let file = self.office.vault.key_file().map_err(|error| DeskError::Partner(error.to_string()))?;
                file.open(&member.sign_in, password).is_ok()
            }
        };
        if is_right {
            return Ok(());
        }
        self.office.vault.note_and_wait(Some(self.actor.staff), "refused", None)?;
        Err(DeskError::Invalid(vec![FieldProblem::new(field, "password-wrong")]))
    }

    /// Changes one's password.
    ///
    /// # Errors
    /// When the one in force is not right, the new one is too weak, or the key file cannot be written.
    pub fn change_password(&self, current: &str, new: &str, cost: Cost) -> Result<(), DeskError> {
        let member = self.office.member(self.actor.staff).ok_or(DeskError::NotFound)?;
        let refused = |error: KeyError| DeskError::Partner(error.to_string());
        let file = self.office.vault.key_file().map_err(refused)?;
        let unlocks = file.has_slot(member.id);
        self.check_password("current", current)?;
        let mut problems = self.problems();
        if let Some(problem) = password_problem(new, &[&member.sign_in, &member.name]) {
            problems.add("password", problem);
        } else if new == current {
            problems.add("password", "password-same");
        }
        problems.done()?;
        if unlocks {
            let (id, sign_in, new) = (member.id, member.sign_in, new.to_owned());
            let slot =
                move |file: &mut KeyFile, keys: &Keys| file.set_slot(keys, id, &sign_in, &new, cost, &mut os_rng());
            self.office.vault.change_key_file(slot).map_err(refused)?;
            if !member.first_password {
                self.office.vault.note_and_wait(Some(id), "change_password", None)?;
                return Ok(());
            }
            return self.write("change_password", move |tx| {
                let mut sealed = own_record(tx, id)?;
                sealed.record.first_password = false;
                Ok(tx.update(&sealed.record, sealed.revision)?)
            });
        }
        let hash = PasswordHash::new(new, cost, &mut os_rng())
            .map_err(|_| DeskError::Invalid(vec![FieldProblem::new("password", "password-long")]))?;
        let staff = self.actor.staff;
        self.write("change_password", move |tx| {
            let mut sealed = own_record(tx, staff)?;
            sealed.record.password = Some(hash);
            sealed.record.first_password = false;
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    /// Whether the password is one that somebody else chose, so that nothing else is done before it is changed.
    pub fn must_change_password(&self) -> bool {
        self.office.member(self.actor.staff).is_some_and(|member| member.first_password)
    }

    /// Sets one's PIN.
    ///
    /// # Errors
    /// When the password is not right, or the PIN is not six to twelve digits or one that everybody tries.
    pub fn set_pin(&self, pin: &str, password: &str) -> Result<(), DeskError> {
        self.check_password("current", password)?;
        let mut problems = self.problems();
        let pin = crate::names::ascii_digits(pin.trim());
        if let Some(problem) = pin_problem(&pin) {
            problems.add("pin", problem);
        }
        problems.done()?;
        let hash = PasswordHash::new(&pin, Cost::FLOOR, &mut os_rng())
            .map_err(|_| DeskError::Invalid(vec![FieldProblem::new("pin", "pin-digits")]))?;
        let staff = self.actor.staff;
        self.write("set_pin", move |tx| {
            let mut sealed = own_record(tx, staff)?;
            sealed.record.pin = Some(hash);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }
}

/// What is wrong with a PIN, if anything.
fn pin_problem(pin: &str) -> Option<&'static str> {
    let digits: Vec<i16> = pin.bytes().map(|byte| i16::from(byte) - i16::from(b'0')).collect();
    if !PIN_DIGITS.contains(&digits.len()) || digits.iter().any(|digit| !(0..=9).contains(digit)) {
        return Some("pin-digits");
    }
    // 111111, 123456, 654321: every step the same.
    let mut steps = digits.iter().zip(digits.iter().skip(1)).map(|(a, b)| b - a);
    let first = steps.next();
    steps.all(|step| Some(step) == first).then_some("pin-common")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_six_digits_and_not_the_first_guess() {
        for (pin, problem) in [
            ("", Some("pin-digits")),
            ("12345", Some("pin-digits")),
            ("12a456", Some("pin-digits")),
            ("111111", Some("pin-common")),
            ("123456", Some("pin-common")),
            ("876543", Some("pin-common")),
            ("193746", None),
        ] {
            assert_eq!(pin_problem(pin), problem, "{pin}");
        }
    }

    #[test]
    fn a_printed_code_is_good_once() {
        let secret = FactorSecret::random(&mut os_rng());
        let now = 1_795_000_000;
        let mut factor = Factor { secret: secret.clone(), used: 0, spare: vec![token::digest("ABCDEFGHJK")] };
        assert!(!spend(&mut factor, "abcde-fghjx", now));
        assert!(spend(&mut factor, "abcde-fghjk", now));
        assert!(!spend(&mut factor, "abcde-fghjk", now));
        let code = secret.code(now);
        assert!(spend(&mut factor, &code, now));
        assert!(!spend(&mut factor, &code, now));
    }
}
