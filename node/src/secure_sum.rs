//! A secure sum: each office splits its numbers into two shares, one for each of two aggregators. Neither learns anything from its own;
//! together they check, without seeing them, that the numbers are in range, and each adds up the shares that it has. The two sums
//! together are the sum. Prio3L1BoundSum of draft-irtf-cfrg-vdaf-18 and draft-ietf-ppm-l1-bound-sum-01, by the crate `prio`.

use prio::codec::{Decode, Encode, ParameterizedDecode};
use prio::dp::Rational;
use prio::dp::distributions::DiscreteLaplace;
use prio::field::{Field128, FieldElementWithInteger};
use prio::topology::ping_pong::{Continued, PingPongMessage, PingPongState, PingPongTopology};
use prio::vdaf::prio3::{Prio3, Prio3InputShare, Prio3L1BoundSum, Prio3PublicShare, optimal_chunk_length};
use prio::vdaf::{AggregateShare, Aggregator, Client, Collector, OutputShare};
use rand::distr::Distribution;

/// Bytes of the key that the two aggregators share, and that no office knows.
pub const VERIFY_KEY_BYTES: usize = 32;
/// Bytes of the number that makes a report the only one of its kind.
pub const NONCE_BYTES: usize = 16;

/// Why a share is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SumError {
    /// It cannot be read.
    #[error("a share cannot be read")]
    Unreadable,
    /// The numbers are out of range, or the two shares are not of the same numbers.
    #[error("the numbers are out of range, or their proof does not hold")]
    Refused,
    /// There are no numbers, or too many, or too large.
    #[error("so many numbers, or so large ones, cannot be summed")]
    Range,
}

/// What one office hands in: a public part, and a share for each aggregator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What makes it the only one of its kind.
    pub nonce: [u8; NONCE_BYTES],
    /// For both.
    pub public: Vec<u8>,
    /// For the leader.
    pub leader: Vec<u8>,
    /// For the helper.
    pub helper: Vec<u8>,
}

/// What an aggregator got of one report.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// What makes it the only one of its kind.
    pub nonce: &'a [u8; NONCE_BYTES],
    /// The public part.
    pub public: &'a [u8],
    /// The share.
    pub share: &'a [u8],
}

/// One sum: how many numbers, how much one office may count in all, and what it is the sum of.
pub struct SecureSum {
    vdaf: Prio3L1BoundSum,
    cells: usize,
    context: Vec<u8>,
}

impl std::fmt::Debug for SecureSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecureSum({} numbers)", self.cells)
    }
}

type Share = Prio3InputShare<Field128, VERIFY_KEY_BYTES>;
type Public = Prio3PublicShare<VERIFY_KEY_BYTES>;

impl SecureSum {
    /// A sum of so many numbers, of which one office may count at most `most` in all. Reports of another context are refused.
    ///
    /// # Errors
    /// When there are no numbers, or nothing may be counted.
    pub fn new(cells: usize, most: u32, context: &[u8]) -> Result<Self, SumError> {
        let bits = usize::try_from(u32::BITS - most.leading_zeros()).unwrap_or_default();
        Self::chunked(cells, most, optimal_chunk_length(bits * (cells + 1)), context)
    }

    fn chunked(cells: usize, most: u32, chunk: usize, context: &[u8]) -> Result<Self, SumError> {
        let vdaf = Prio3::new_l1_bound_sum(2, most.into(), cells, chunk).map_err(|_| SumError::Range)?;
        Ok(Self { vdaf, cells, context: context.to_vec() })
    }

    /// Splits an office's numbers.
    ///
    /// # Errors
    /// When they are more or less than expected, or more in all than an office may count.
    pub fn split(&self, numbers: &[u64]) -> Result<Report, SumError> {
        let nonce = casemesh_crypto::random::array(&mut casemesh_crypto::random::os_rng());
        let numbers: Vec<u128> = numbers.iter().map(|number| u128::from(*number)).collect();
        let (public, shares) = self.vdaf.shard(&self.context, &numbers, &nonce).map_err(|_| SumError::Range)?;
        let mut encoded = shares.iter().map(|share| share.get_encoded().map_err(|_| SumError::Range));
        let (Some(leader), Some(helper)) = (encoded.next(), encoded.next()) else { return Err(SumError::Range) };
        let public = public.get_encoded().map_err(|_| SumError::Range)?;
        Ok(Report { nonce, public, leader: leader?, helper: helper? })
    }

    fn read(&self, at: usize, received: Received<'_>) -> Result<(Public, Share), SumError> {
        let public = Public::get_decoded_with_param(&self.vdaf, received.public).map_err(|_| SumError::Unreadable)?;
        let share =
            Share::get_decoded_with_param(&(&self.vdaf, at), received.share).map_err(|_| SumError::Unreadable)?;
        Ok((public, share))
    }

    fn begun(
        &self,
        key: &[u8; VERIFY_KEY_BYTES],
        received: Received<'_>,
    ) -> Result<Continued<<Prio3L1BoundSum as Aggregator<VERIFY_KEY_BYTES, NONCE_BYTES>>::VerifyState>, SumError> {
        let (public, share) = self.read(0, received)?;
        let begun = self.vdaf.leader_initialized(key, &self.context, &(), received.nonce, &public, &share);
        begun.map_err(|_| SumError::Refused)
    }

    /// The leader's question about a report, for the helper.
    ///
    /// # Errors
    /// When the share cannot be read.
    pub fn question(&self, key: &[u8; VERIFY_KEY_BYTES], received: Received<'_>) -> Result<Vec<u8>, SumError> {
        self.begun(key, received)?.message.get_encoded().map_err(|_| SumError::Unreadable)
    }

    /// The helper's part: its answer for the leader, and what it adds to its sum.
    ///
    /// # Errors
    /// When the report does not hold.
    pub fn answer(
        &self,
        key: &[u8; VERIFY_KEY_BYTES],
        received: Received<'_>,
        question: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), SumError> {
        let question = PingPongMessage::get_decoded(question).map_err(|_| SumError::Unreadable)?;
        let (public, share) = self.read(1, received)?;
        let nonce = received.nonce;
        let next = self.vdaf.helper_initialized(key, &self.context, &(), nonce, &public, &share, &question);
        let state = next.and_then(|next| next.evaluate(&self.context, &self.vdaf)).map_err(|_| SumError::Refused)?;
        match state {
            PingPongState::FinishedWithOutbound { output_share, message } => {
                Ok((message.get_encoded().map_err(|_| SumError::Unreadable)?, encoded(output_share.as_ref())?))
            }
            PingPongState::Continued(_) | PingPongState::Finished { .. } => Err(SumError::Refused),
        }
    }

    /// The leader's end of it: what it adds to its sum.
    ///
    /// # Errors
    /// When the report does not hold.
    pub fn conclude(
        &self,
        key: &[u8; VERIFY_KEY_BYTES],
        received: Received<'_>,
        answer: &[u8],
    ) -> Result<Vec<u8>, SumError> {
        let answer = PingPongMessage::get_decoded(answer).map_err(|_| SumError::Unreadable)?;
        let state = self.begun(key, received)?.verifier_state;
        let next = self.vdaf.leader_continued(&self.context, &(), state, &answer);
        match next.and_then(|next| next.evaluate(&self.context, &self.vdaf)).map_err(|_| SumError::Refused)? {
            PingPongState::Finished { output_share } => encoded(output_share.as_ref()),
            PingPongState::Continued(_) | PingPongState::FinishedWithOutbound { .. } => Err(SumError::Refused),
        }
    }

    /// An aggregator's sum of what it added, with noise of that scale (in thousandths) on each number where there is to be some: one
    /// of the two is enough to hide a person.
    ///
    /// # Errors
    /// When something in it is no share of this sum.
    pub fn added(&self, all: &[Vec<u8>], noise_permille: Option<u32>) -> Result<Vec<u8>, SumError> {
        let mut outputs = Vec::with_capacity(all.len());
        for one in all {
            outputs.push(OutputShare::from(self.numbers(one)?));
        }
        let sum = self.vdaf.aggregate(&(), outputs).map_err(|_| SumError::Unreadable)?;
        let mut numbers = sum.as_ref().to_vec();
        if let Some(permille) = noise_permille {
            for number in &mut numbers {
                *number += noise(permille)?;
            }
        }
        encoded(&numbers)
    }

    /// The sum, from the sums of the two. With noise a number may be below zero.
    ///
    /// # Errors
    /// When something in it is no share of this sum.
    pub fn total(&self, leader: &[u8], helper: &[u8], reports: usize) -> Result<Vec<i64>, SumError> {
        let shares = [AggregateShare::from(self.numbers(leader)?), AggregateShare::from(self.numbers(helper)?)];
        let total: Vec<u128> = self.vdaf.unshard(&(), shares, reports).map_err(|_| SumError::Unreadable)?;
        // What is below zero stands at the other end of the field.
        let modulus = Field128::modulus();
        let signed = |number: u128| match number > modulus / 2 {
            true => i64::try_from(modulus - number).map(|number| -number),
            false => i64::try_from(number),
        };
        total.into_iter().map(|number| signed(number).map_err(|_| SumError::Unreadable)).collect()
    }

    /// The bare calls that check one report at both aggregators, what they say to each other unread and unwritten: for the bench.
    ///
    /// # Errors
    /// When the report does not hold.
    #[doc(hidden)]
    pub fn bare(&self, key: &[u8; VERIFY_KEY_BYTES], report: &Report) -> Result<(), SumError> {
        let mut states = Vec::with_capacity(2);
        let mut shares = Vec::with_capacity(2);
        for (at, share) in [&report.leader, &report.helper].into_iter().enumerate() {
            let received = Received { nonce: &report.nonce, public: &report.public, share };
            let (public, share) = self.read(at, received)?;
            let begun = self.vdaf.verify_init(key, &self.context, at, &(), &report.nonce, &public, &share);
            let (state, share) = begun.map_err(|_| SumError::Refused)?;
            states.push(state);
            shares.push(share);
        }
        let message =
            self.vdaf.verifier_shares_to_message(&self.context, &(), shares).map_err(|_| SumError::Refused)?;
        for state in states {
            self.vdaf.verify_next(&self.context, state, message.clone()).map_err(|_| SumError::Refused)?;
        }
        Ok(())
    }

    fn numbers(&self, bytes: &[u8]) -> Result<Vec<Field128>, SumError> {
        let mut cursor = std::io::Cursor::new(bytes);
        let numbers: Result<Vec<Field128>, _> = (0..self.cells).map(|_| Field128::decode(&mut cursor)).collect();
        let is_whole = usize::try_from(cursor.position()).is_ok_and(|at| at == bytes.len());
        numbers.ok().filter(|_| is_whole).ok_or(SumError::Unreadable)
    }
}

fn encoded(numbers: &[Field128]) -> Result<Vec<u8>, SumError> {
    let mut bytes = Vec::new();
    numbers.iter().try_for_each(|number| number.encode(&mut bytes)).map_err(|_| SumError::Unreadable)?;
    Ok(bytes)
}

/// Discrete Laplace noise of a scale in thousandths (Canonne, Kamath, Steinke 2020), exact, as a number of the field.
fn noise(permille: u32) -> Result<Field128, SumError> {
    let scale = Rational::from_unsigned(permille, 1_000u32).map_err(|_| SumError::Range)?;
    let drawn =
        DiscreteLaplace::new(scale).map_err(|_| SumError::Range)?.sample(&mut casemesh_crypto::random::os_rng());
    let number = i64::try_from(drawn).map_err(|_| SumError::Range)?;
    let size = Field128::from(u128::from(number.unsigned_abs()));
    Ok(if number < 0 { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; VERIFY_KEY_BYTES] = [7; VERIFY_KEY_BYTES];

    fn received<'a>(report: &'a Report, share: &'a [u8]) -> Received<'a> {
        Received { nonce: &report.nonce, public: &report.public, share }
    }

    /// Both aggregators' parts of one report: what each adds.
    fn checked(sum: &SecureSum, report: &Report) -> Result<(Vec<u8>, Vec<u8>), SumError> {
        let leader = received(report, &report.leader);
        let question = sum.question(&KEY, leader)?;
        let (answer, helps) = sum.answer(&KEY, received(report, &report.helper), &question)?;
        Ok((sum.conclude(&KEY, leader, &answer)?, helps))
    }

    #[test]
    fn two_sums_together_are_the_sum_and_one_alone_is_nothing() {
        let sum = SecureSum::new(5, 1_000, b"a period").unwrap();
        let offices = [[3u64, 0, 40, 900, 1], [0, 0, 0, 0, 0], [7, 9, 1, 0, 500]];
        let (mut leads, mut helps) = (Vec::new(), Vec::new());
        for numbers in &offices {
            let (lead, help) = checked(&sum, &sum.split(numbers).unwrap()).unwrap();
            leads.push(lead);
            helps.push(help);
        }
        let (lead, help) = (sum.added(&leads, None).unwrap(), sum.added(&helps, None).unwrap());
        assert_eq!(sum.total(&lead, &help, 3).unwrap(), [10, 9, 41, 900, 501]);
        // The same numbers again are other shares: of the same sum, nothing is to be seen in one of them.
        let again = sum.split(&offices[0]).unwrap();
        let (other, _) = checked(&sum, &again).unwrap();
        assert_ne!(other, leads[0]);
    }

    /// What one aggregator holds and adds is evenly spread, whatever the numbers are: chi-squared over the 16 values of half a byte, far
    /// beyond chance at 60 for 15 degrees of freedom.
    #[test]
    fn what_one_aggregator_holds_tells_nothing_of_the_numbers() {
        let sum = SecureSum::new(2, 1_000, b"a period").unwrap();
        for numbers in [[0, 0], [1, 999]] {
            let mut counts = [[0u32; 16]; 4];
            for _ in 0..2_000 {
                let report = sum.split(&numbers).unwrap();
                let (lead, help) = checked(&sum, &report).unwrap();
                // The lowest byte of the first number: of the shares as they came, and of what is added.
                for (counts, bytes) in counts.iter_mut().zip([&report.leader, &report.helper, &lead, &help]) {
                    counts[usize::from(bytes[0] & 15)] += 1;
                }
            }
            for counts in counts {
                let squared: f64 = counts.iter().map(|count| (f64::from(*count) - 125.0).powi(2) / 125.0).sum();
                assert!(squared < 60.0, "{squared}: {counts:?}");
            }
        }
    }

    /// Whoever holds the numbers of all offices but one learns that one's from an exact sum, as the page says before anything leaves; from a
    /// noisy one a number that is off.
    #[test]
    fn all_offices_but_one_can_subtract_from_an_exact_sum_and_not_from_a_noisy_one() {
        let sum = SecureSum::new(3, 1_000, b"a period").unwrap();
        let (others, last) = ([[12u64, 30, 0], [4, 2, 9]], [25u64, 0, 1]);
        let shares = others.iter().chain([&last]).map(|numbers| checked(&sum, &sum.split(numbers).unwrap()).unwrap());
        let (leads, helps): (Vec<_>, Vec<_>) = shares.unzip();
        let learned = |noise| -> Vec<i64> {
            let total = sum.total(&sum.added(&leads, noise).unwrap(), &sum.added(&helps, noise).unwrap(), 3).unwrap();
            let of = |at: usize| others.iter().map(|numbers| i64::try_from(numbers[at]).unwrap()).sum::<i64>();
            total.iter().enumerate().map(|(at, total)| total - of(at)).collect()
        };
        assert_eq!(learned(None), [25, 0, 1], "exactly what subtraction gives");
        let noisy: Vec<Vec<i64>> = (0..100).map(|_| learned(Some(3_000))).collect();
        let right = noisy.iter().flatten().zip([25, 0, 1].iter().cycle()).filter(|(learned, is)| learned == is);
        assert!(right.count() < 60, "of 300; by chance about 26");
    }

    #[test]
    fn what_is_out_of_range_altered_or_of_another_sum_is_refused() {
        let sum = SecureSum::new(4, 100, b"a period").unwrap();
        assert_eq!(sum.split(&[60, 41, 0, 0]).unwrap_err(), SumError::Range, "more than an office may count");
        assert_eq!(sum.split(&[1, 2, 3]).unwrap_err(), SumError::Range);
        let report = sum.split(&[1, 2, 3, 4]).unwrap();
        for at in [0, report.leader.len() / 2, report.leader.len() - 1] {
            let mut altered = report.clone();
            altered.leader[at] ^= 1;
            assert!(checked(&sum, &altered).is_err(), "byte {at}");
        }
        let mut altered = report.clone();
        altered.helper[0] ^= 1;
        assert!(checked(&sum, &altered).is_err());
        let other = sum.split(&[1, 2, 3, 4]).unwrap();
        let mixed = Report { helper: other.helper, ..report.clone() };
        assert!(checked(&sum, &mixed).is_err(), "shares of two reports");
        let elsewhere = SecureSum::new(4, 100, b"another period").unwrap();
        assert!(checked(&elsewhere, &report).is_err(), "a replay into another sum");
        assert!(checked(&sum, &report).is_ok());
        assert_eq!(sum.total(&[0; 63], &[0; 64], 1).unwrap_err(), SumError::Unreadable);
    }

    /// The published vectors of the function, read where the crate brings them.
    #[test]
    fn the_published_vectors_hold() {
        let metadata = std::process::Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--format-version", "1"])
            .output()
            .unwrap();
        let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let prio = packages.iter().find(|package| package["name"] == "prio").unwrap();
        let manifest = std::path::Path::new(prio["manifest_path"].as_str().unwrap());
        let file = manifest.parent().unwrap().join("src/vdaf/test_vec/l1boundsum/Prio3L1BoundSum_0.json");
        let vector: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let hex = |value: &serde_json::Value| -> Vec<u8> {
            let text = value.as_str().unwrap();
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let number = |name: &str| u32::try_from(vector[name].as_u64().unwrap()).unwrap();
        let sum = SecureSum::chunked(
            number("length") as usize,
            number("max_value"),
            number("chunk_length") as usize,
            &hex(&vector["ctx"]),
        )
        .unwrap();
        let key: [u8; VERIFY_KEY_BYTES] = hex(&vector["verify_key"]).try_into().unwrap();
        let (mut leads, mut helps) = (Vec::new(), Vec::new());
        for report in vector["reports"].as_array().unwrap() {
            let nonce: [u8; NONCE_BYTES] = hex(&report["nonce"]).try_into().unwrap();
            let public = hex(&report["public_share"]);
            let (leader, helper) = (hex(&report["input_shares"][0]), hex(&report["input_shares"][1]));
            let leader = Received { nonce: &nonce, public: &public, share: &leader };
            let question = sum.question(&key, leader).unwrap();
            assert!(question.ends_with(&hex(&report["verifier_shares"][0][0])));
            let helper = Received { nonce: &nonce, public: &public, share: &helper };
            let (answer, help) = sum.answer(&key, helper, &question).unwrap();
            assert!(answer.ends_with(&hex(&report["verifier_messages"][0])));
            let lead = sum.conclude(&key, leader, &answer).unwrap();
            let joined = |shares: &serde_json::Value| -> Vec<u8> {
                shares.as_array().map_or_else(|| hex(shares), |all| all.iter().flat_map(&hex).collect())
            };
            assert_eq!(
                (joined(&report["out_shares"][0]), joined(&report["out_shares"][1])),
                (lead.clone(), help.clone())
            );
            leads.push(lead);
            helps.push(help);
        }
        let (lead, help) = (sum.added(&leads, None).unwrap(), sum.added(&helps, None).unwrap());
        assert_eq!((hex(&vector["agg_shares"][0]), hex(&vector["agg_shares"][1])), (lead.clone(), help.clone()));
        let expected: Vec<i64> = serde_json::from_value(vector["agg_result"].clone()).unwrap();
        assert_eq!(sum.total(&lead, &help, leads.len()).unwrap(), expected);
    }

    /// The noise is the discrete Laplace distribution: chi-squared over a hundred thousand draws, far beyond chance at 60 for the 21
    /// classes that are compared.
    #[test]
    fn noise_is_what_it_should_be() {
        let (draws, scale) = (100_000, 3.0f64);
        let zero = Field128::from(0u128);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..draws {
            let drawn = u128::from(noise(3_000).unwrap() - zero);
            let signed = if drawn > Field128::modulus() / 2 {
                -i64::try_from(Field128::modulus() - drawn).unwrap()
            } else {
                i64::try_from(drawn).unwrap()
            };
            *counts.entry(signed).or_insert(0u32) += 1;
        }
        let step = (-1.0 / scale).exp();
        let expected =
            |at: i64| f64::from(draws) * (1.0 - step) / (1.0 + step) * step.powi(i32::try_from(at.abs()).unwrap());
        let squared: f64 = (-10..=10)
            .map(|at| (f64::from(counts.get(&at).copied().unwrap_or_default()) - expected(at)).powi(2) / expected(at))
            .sum();
        assert!(squared < 60.0, "{squared}: {counts:?}");
        // With noise by both, totals are near and not always exact.
        let sum = SecureSum::new(1, 10, b"noisy").unwrap();
        let (lead, help) = checked(&sum, &sum.split(&[5]).unwrap()).unwrap();
        let noisy: Vec<i64> = (0..200)
            .map(|_| {
                let (lead, help) = (
                    sum.added(std::slice::from_ref(&lead), Some(1_000)).unwrap(),
                    sum.added(std::slice::from_ref(&help), Some(1_000)).unwrap(),
                );
                sum.total(&lead, &help, 1).unwrap()[0]
            })
            .collect();
        assert!(noisy.iter().any(|value| *value != 5) && noisy.iter().any(|value| *value < 4));
        assert!(noisy.iter().all(|value| (value - 5).abs() < 40));
    }
}
