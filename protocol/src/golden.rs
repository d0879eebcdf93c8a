//! One body of each kind with fixed contents, byte by byte: a change to any of them splits the network. `golden.txt` holds them for
//! other implementations.

use crate::bounded::{List, Text};
use crate::directory::{Capacity, NetworkFile};
use crate::id::{EventId, OfficeId, PacketId, StoreEpoch, ThreadId};
use crate::indicators::Class;
use crate::packet::{
    Body, CapacityAnswer, CapacityQuestion, Chain, ConflictNames, Full, Kind, Moved, MovedEntry, MovedPayment,
    MovedTask, Preview, ReadReceipt, SharedDocument, SharedField,
};
use crate::proposal::{Comment, Proposal, Stance};
use crate::referral::{Event, SignedEvent, Step};
use crate::sample::{SampleAnswer, SampleCounts, SampleField, SampleQuestion, SampleResult, SampleSaid};
use crate::statistics::{Agreement, AgreementText, Cell, Figure, Rhythm, Table, Terms, Word};
use crate::tally::{Tally, TallyStep};
use crate::template::Template;
use crate::terms::{
    Answer, Code, FieldGroup, FieldState, Ground, Line, Money, Never, Purpose, SafeContact, Value, Withheld,
    WithholdReason,
};
use crate::time::{Day, Period, Timestamp};
use crate::trust::{Admission, Decision, Registrar, Root, Roots, SignedAdmission, SignedRoot};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::secret::Secret;
use casemesh_crypto::sign::SigningKey;

/// The node key of the sender in all of them: Ed25519 of a seed of 32 bytes 07.
fn key() -> SigningKey {
    SigningKey::from_seed(&Secret::new([7; 32]))
}

fn line(text: &str) -> Line {
    Text::new(text).unwrap()
}

fn code(list: &str, code: &str, label: &str) -> Code {
    Code::new(list, 1, code, label).unwrap()
}

fn signed(number: u64, step: Step) -> SignedEvent {
    let event = Event {
        id: EventId { office: OfficeId::new([1; 32]), epoch: StoreEpoch::new([2; 8]), number },
        thread: ThreadId::new([3; 16]),
        previous: if number == 1 { Digest::ZERO } else { Digest::new([4; 32]) },
        seen: Digest::ZERO,
        at: Timestamp::from_s(1_795_000_000),
        step,
    };
    SignedEvent::sign(&event, &key())
}

fn preview() -> Preview {
    Preview {
        service: code("service_type", "safe_house", "Safe house"),
        need: Text::new("A bed for one adult").unwrap(),
        pseudonym: Text::new("sonose").unwrap(),
        age_band: Some(code("age_band", "30-38", "30-38")),
        sex: Some(code("sex", "female", "Female")),
        language: None,
        interpreter: true,
        area: line("Ugu"),
        safe_contact: SafeContact { text: true, ..SafeContact::default() },
        purpose: Purpose::ShareForService,
        consent_expires: Timestamp::from_s(1_797_592_000),
        will_share: List::new(vec![FieldGroup::Names, FieldGroup::Contact]).unwrap(),
        withheld: List::new(vec![Withheld { group: FieldGroup::Address, reason: WithholdReason::FearOfHarm }]).unwrap(),
        template: Template::Shelter,
        chain: Chain { attempts_before: 1, offices_before: 0, is_open: false },
        ground: None,
        held_at: None,
    }
}

fn full() -> Full {
    let field = |group, field: &str, value: &str| SharedField {
        group,
        field: Text::new(field).unwrap(),
        value: Text::new(value).unwrap(),
    };
    Full {
        fields: List::new(vec![
            field(FieldGroup::Names, "given", "Nomvula"),
            field(FieldGroup::Contact, "telephone", "082 555 0101"),
        ])
        .unwrap(),
        brief: Text::new("She left on Tuesday").unwrap(),
        withheld: List::default(),
        sender_contact: line("Thandi, Advice office"),
        safe_contact: SafeContact { text: true, code_word: line("library"), ..SafeContact::default() },
        never: Some(List::new(vec![Never::Named(line("Sipho"))]).unwrap()),
        moved: Some(Box::new(Moved {
            part: 0,
            parts: 1,
            epoch: 1,
            number: line("ADV-2026-0001"),
            opened: Day::new(2026, 11, 1).unwrap(),
            case_type: Some(code("case_type", "domestic_violence", "Domestic violence")),
            forum: None,
            source: None,
            facts: List::default(),
            entries: List::new(vec![MovedEntry {
                kind: code("action_kind", "note", "Note"),
                on: Day::new(2026, 11, 2).unwrap(),
                at: Timestamp::from_s(1_794_000_000),
                text: Text::new("First talk").unwrap(),
                minutes: Some(30),
                form: Some((Text::new("meeting").unwrap(), 1)),
                answers: List::new(vec![(
                    line("decision"),
                    Answer { field: "decision".into(), value: FieldState::Known(Value::Text("Go on".into())) },
                )])
                .unwrap(),
            }])
            .unwrap(),
            tasks: List::new(vec![MovedTask {
                kind: Text::new("to_do").unwrap(),
                title: line("Fetch the lease"),
                due: Day::new(2026, 12, 1).unwrap(),
            }])
            .unwrap(),
            payments: List::new(vec![MovedPayment {
                kind: Text::new("recovered").unwrap(),
                money: Money { minor: 10_000, currency: "ZAR".parse().unwrap() },
                on: None,
                note: Text::default(),
            }])
            .unwrap(),
            left_behind: 0,
        })),
        documents: Some(
            List::new(vec![SharedDocument {
                title: line("Lease"),
                name: line("lease.pdf"),
                bytes: 100,
                file: Digest::new([8; 32]),
                sealed_bytes: 116,
                key: [9; 32],
            }])
            .unwrap(),
        ),
    }
}

fn names() -> ConflictNames {
    ConflictNames {
        client: List::new(vec![line("Nomvula Dlamini")]).unwrap(),
        parties: List::new(vec![line("Sipho Zulu")]).unwrap(),
    }
}

/// A root that one steward signed, and one office that it lets in.
fn news() -> NetworkFile {
    let (steward, made) = (key().verifying_key(), Timestamp::from_s(1_795_000_000));
    let by = Registrar::Key(steward);
    let stewards = List::new(vec![steward]).unwrap();
    let root = Root::first(line("Network"), stewards, 1, List::new(vec![by]).unwrap(), None, made);
    let signed = SignedRoot::proposed(&root).endorsed(&key());
    let network = Roots::follow(std::slice::from_ref(&signed)).unwrap().network();
    let said = Admission::after(None, (network, OfficeId::new([1; 32])), by, Decision::Admitted, made);
    let admissions = List::new(vec![SignedAdmission::sign(&said, &key())]).unwrap();
    NetworkFile::new(List::new(vec![signed]).unwrap(), admissions, List::default())
}

/// A table with a number that is shown and one that is withheld.
fn table(day: Day) -> Table {
    let terms = Terms::plain(Rhythm::Month);
    let id = Word::new("network").unwrap();
    let agreement = Agreement { id, version: 1, terms, indicators: vec![] };
    let cell = |class, value| Cell { classes: List::new(vec![class]).unwrap(), value, of: None, withheld_by: None };
    let sex = |word, label| Class::Code(code("sex", word, label));
    let cells = vec![
        cell(sex("female", "Female"), Some(40)),
        cell(sex("male", "Male"), None),
        cell(sex("other", "Other"), None),
        cell(Class::All, Some(55)),
    ];
    let figure = Figure {
        indicator: Word::new("new_people").unwrap(),
        cells: List::new(cells).unwrap(),
        covered: Some(57),
        missing: Some(2),
        excluded: Some(3),
        withheld: 2,
        withheld_by: None,
    };
    let period = Period::new(day, day).unwrap();
    let figures = List::new(vec![figure]).unwrap();
    Table::new(&agreement, (OfficeId::new([1; 32]), period, 1), Timestamp::from_s(1_795_000_000), figures)
}

/// A body of each kind but the card, which keys alone fill.
fn bodies() -> Vec<Body> {
    let sent = Step::Sent {
        service: preview().service,
        respond_by: Timestamp::from_s(1_795_600_000),
        expires: Timestamp::from_s(1_796_200_000),
        preview: preview().hash(),
    };
    let day = Day::new(2026, 11, 1).unwrap();
    vec![
        Body::ReferralPreview { event: signed(1, sent), preview: Box::new(preview()) },
        Body::ReferralFull { event: signed(2, Step::Released { full: full().hash() }), full: full() },
        Body::ReferralEvent(signed(3, Step::Withdrawn { reason: code("withdraw_reason", "safety", "For safety") })),
        Body::ReadReceipt(ReadReceipt {
            packet_hash: Digest::new([5; 32]),
            packet_id: PacketId::new([6; 16]),
            opened: Timestamp::from_s(1_795_000_100),
        }),
        Body::StatisticsTable(table(day)),
        Body::ConflictNames { event: signed(2, Step::ConflictAsked { names: names().hash() }), names: names() },
        Body::News(news()),
        Body::CapacityQuestion(CapacityQuestion {
            question: ThreadId::new([3; 16]),
            service: preview().service,
            urgency: 2,
            age_band: preview().age_band,
            language: None,
        }),
        Body::CapacityAnswer(CapacityAnswer {
            question: ThreadId::new([3; 16]),
            capacity: Capacity::WaitingList,
            from: Some(day),
        }),
        Body::HeldFull(Full { moved: None, documents: None, ..full() }),
        Body::Tally(Box::new(Tally {
            agreement: Digest::new([5; 32]),
            period: Period::new(day, day).unwrap(),
            step: TallyStep::Share { nonce: [7; 16], public: vec![1, 2, 3], share: vec![4, 5, 6] },
        })),
        Body::SampleQuestion(SampleQuestion {
            question: ThreadId::new([3; 16]),
            period: Period::new(day, day).unwrap(),
            count: 10,
        }),
        Body::SampleAnswer(SampleAnswer {
            question: ThreadId::new([3; 16]),
            said: SampleSaid::Counts(SampleCounts::of(
                5,
                [(SampleResult::Match, &[][..]), (SampleResult::Mismatch, &[SampleField::Money][..])].into_iter(),
            )),
        }),
        Body::Proposal(Box::new(Proposal {
            text: AgreementText::cut("id = \"a\""),
            why: Text::cut("Deductions are new"),
            until: day,
        })),
        Body::Comment(Comment {
            proposal: Digest::new([9; 32]),
            stance: Stance::Change,
            said: Text::cut("Loans as well"),
            at: Timestamp::from_s(1_795_000_000),
        }),
    ]
}

#[test]
fn every_kind_of_body_is_what_it_was_byte_by_byte() {
    let bodies = bodies();
    let kinds: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| *kind != Kind::Card).collect();
    assert_eq!(bodies.iter().map(Body::kind).collect::<Vec<_>>(), kinds, "each kind has its body");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let table: String =
        bodies.iter().map(|body| format!("{} {}\n", body.kind().number(), hex(&body.encode()))).collect();
    assert_eq!(table, include_str!("golden.txt"), "as found:\n{table}");
    for body in bodies {
        assert_eq!(Body::decode(body.kind().number(), &body.encode()), Ok(body));
    }
}

#[test]
fn a_preview_has_sixteen_places_and_none_of_them_is_for_an_identity() {
    let bytes = casemesh_crypto::wire::encode(&Preview { ground: Some(Ground::LegalDuty), ..preview() });
    let mut decoder = minicbor::Decoder::new(&bytes);
    assert_eq!(decoder.array().unwrap(), Some(16), "who adds a place says here what it holds");
    let texts = ["Nomvula", "Dlamini", "Sipho", "082", "555", "library", "She left", "Thandi"];
    for text in texts {
        assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
}
