//! The nodes of the demo.

use crate::serve::Served;
use anyhow::Result;
use casemesh_crypto::passphrase::Cost;
use casemesh_crypto::random::os_rng;
use casemesh_crypto::share::Split;
use casemesh_crypto::sign::SigningKey;
use casemesh_crypto::token;
use casemesh_node::clock::Clock;
use casemesh_node::codes;
use casemesh_node::node::{self, Config, FirstStaff, NewNode};
use casemesh_node::records::StaffRole;
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::OfficeId;
use std::path::{Path, PathBuf};

/// One office of the demo.
pub(super) struct DemoOffice {
    pub(super) name: &'static str,
    pub(super) id: OfficeId,
    pub(super) folder: PathBuf,
    pub(super) served: Served,
    pub(super) staff: Vec<(&'static str, &'static str)>,
}

/// All nodes.
pub(super) struct World {
    pub(super) advice: DemoOffice,
    pub(super) shelter: DemoOffice,
    pub(super) clinic: DemoOffice,
    pub(super) hub: DemoOffice,
    pub(super) collector: DemoOffice,
    pub(super) password: String,
    /// Removed with everything in it when the demo ends.
    _folder: tempfile::TempDir,
}

pub(super) struct Plan<'a> {
    pub(super) name: &'a str,
    pub(super) folder: &'static str,
    pub(super) kind: OfficeKind,
    pub(super) role: Role,
    pub(super) code: &'static str,
    pub(super) services: &'static [&'static str],
    pub(super) area: &'static str,
    pub(super) staff: &'a [(&'static str, &'static str, &'static [StaffRole], &'static str)],
}

use StaffRole::{Administrator, Caseworker, IntakeDesk, Reporting, Supervisor};

const PLANS: [Plan<'static>; 5] = [
    Plan {
        name: "Ugu Valley Advice Office",
        folder: "advice-office",
        kind: OfficeKind::AdviceOffice,
        role: Role::Office,
        code: "UGU",
        services: &["paralegal_advice", "registration"],
        area: "Ugu",
        staff: &[
            ("thandi", "Thandi Mkhize", &[Caseworker], "paralegal"),
            ("sipho", "Sipho Ndlovu", &[Caseworker, Supervisor], "supervisor"),
            ("admin", "Office administration", &[Administrator], "administrator"),
        ],
    },
    Plan {
        name: "Casa Amapola Shelter",
        folder: "shelter",
        kind: OfficeKind::Shelter,
        role: Role::Office,
        code: "CAS",
        services: &["safe_house", "psychosocial"],
        area: "Coast",
        staff: &[
            ("rosa", "Rosa Quispe", &[Caseworker, Supervisor, IntakeDesk], "shelter worker"),
            ("admin", "Office administration", &[Administrator], "administrator"),
        ],
    },
    Plan {
        name: "Al-Amal Legal Clinic",
        folder: "legal-clinic",
        kind: OfficeKind::LegalAid,
        role: Role::Office,
        code: "AML",
        services: &["legal_assistance", "representation"],
        area: "City",
        staff: &[
            ("layla", "ليلى حداد", &[Caseworker, Supervisor], "lawyer"),
            ("admin", "Office administration", &[Administrator], "administrator"),
        ],
    },
    Plan {
        name: "Network hub",
        folder: "hub",
        kind: OfficeKind::Coordination,
        role: Role::Hub,
        code: "HUB",
        services: &[],
        area: "",
        staff: &[("admin", "Hub administration", &[Administrator], "administrator")],
    },
    Plan {
        name: "National coordination",
        folder: "collector",
        kind: OfficeKind::Coordination,
        role: Role::Collector,
        code: "NAT",
        services: &[],
        area: "",
        staff: &[("nomsa", "Nomsa Dube", &[Reporting, Supervisor], "coordinator")],
    },
];

/// A password, drawn anew for each demo: there is none that anybody could know beforehand.
pub(super) fn free_password() -> String {
    ["demo", &token::spoken_code(8, &mut os_rng()), &token::spoken_code(8, &mut os_rng())].join("-")
}

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

pub(super) fn set_up(folder: &Path, plan: &Plan<'_>, hubs: Vec<OfficeId>, password: &str) -> Result<OfficeId> {
    let staff = plan.staff.iter().map(|(sign_in, name, roles, _)| FirstStaff {
        sign_in: (*sign_in).to_owned(),
        name: (*name).to_owned(),
        roles: roles.to_vec(),
        password: password.to_owned(),
        unlocks: true,
    });
    let new = NewNode {
        config: Config {
            name: plan.name.to_owned(),
            roles: vec![plan.role],
            listen: vec![format!("/ip4/127.0.0.1/tcp/{}", free_port()?)],
            web: "127.0.0.1:0".into(),
            poll_s: 1,
            practice: false,
            lobby: None,
            announce: Vec::new(),
            announce_lobby: None,
        },
        kind: plan.kind,
        pack: match plan.kind {
            OfficeKind::AdviceOffice | OfficeKind::LegalAid => "community_advice".into(),
            OfficeKind::Shelter => "anti_trafficking".into(),
            _ => String::new(),
        },
        code: plan.code.to_owned(),
        small_office: true,
        factor_to_administer: false,
        currency: "ZAR".parse()?,
        zone: "UTC".into(),
        language: "en".into(),
        area: plan.area.to_owned(),
        services: plan.services.iter().filter_map(|code| codes::code("service_type", code)).collect(),
        hubs,
        staff: staff.collect(),
        cost: Cost::FLOOR,
        split: Split::SMALL_OFFICE,
    };
    Ok(node::init(folder, &new, &Clock::system())?.office)
}

impl World {
    pub(super) async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("casemesh-demo-").tempdir()?;
        let root = folder.path().to_owned();
        let password = free_password();
        let for_set_up = password.clone();
        let (ids, network) = tokio::task::spawn_blocking(move || -> Result<_> {
            let [advice, shelter, clinic, hub, collector] = &PLANS;
            let hub_id = set_up(&root.join(hub.folder), hub, vec![], &for_set_up)?;
            let mut ids = vec![];
            for plan in [advice, shelter, clinic, collector] {
                ids.push(set_up(&root.join(plan.folder), plan, vec![hub_id], &for_set_up)?);
            }
            ids.insert(3, hub_id);
            let cards: Vec<Vec<u8>> =
                PLANS.iter().map(|plan| node::read_card(&root.join(plan.folder))).collect::<Result<_, _>>()?;
            let steward = SigningKey::random(&mut os_rng());
            let network = node::sign_network("Demo network", &cards, None, &steward, Clock::system().now())?;
            Ok((ids, network))
        })
        .await??;
        let mut offices = Vec::new();
        for (plan, id) in PLANS.iter().zip(ids) {
            let path = folder.path().join(plan.folder);
            let served = Served::start(&path).await?;
            let (node, bytes) = (served.node.clone(), network.clone());
            tokio::task::spawn_blocking(move || node.join(&bytes)).await??;
            let staff = plan.staff.iter().map(|(name, _, _, role)| (*name, *role)).collect();
            offices.push(DemoOffice { name: plan.name, id, folder: path, served, staff });
        }
        let [advice, shelter, clinic, hub, collector] =
            <[DemoOffice; 5]>::try_from(offices).map_err(|_| anyhow::anyhow!("five nodes were planned"))?;
        Ok(Self { advice, shelter, clinic, hub, collector, password, _folder: folder })
    }

    pub(super) fn offices(&self) -> [&DemoOffice; 5] {
        [&self.advice, &self.shelter, &self.clinic, &self.hub, &self.collector]
    }

    pub(super) async fn stop(self) -> Result<()> {
        for office in [self.advice, self.shelter, self.clinic, self.hub, self.collector] {
            office.served.stop().await?;
        }
        Ok(())
    }
}
