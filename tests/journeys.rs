//! Five people's days, in a real browser: a paralegal with the keyboard alone, a shelter worker's intake of a person who
//! gives no name, a supervisor's review, a volunteer with the least access, an auditor. Each page they come to is checked
//! as in the story. The paralegal's journeys count key presses; the count is printed.

use crate::browser::{Walk, served, value};
use crate::harness::{PASSWORD, TestNode, hire, network, new_node};
use casemesh_node::node::Knock;
use casemesh_node::office::{CaseInput, ConsentInput, Desk, FieldInput, PersonInput, SettingsInput};
use casemesh_protocol::directory::{OfficeKind, Role};

/// A person's hands on the keyboard: presses of keys that are no text, and letters of text.
struct Hands<'a> {
    walk: &'a Walk,
    presses: usize,
    letters: usize,
}

/// Card, Moran and Newell (1980): a practised typist's key, and a moment of thought before each field.
const KEY_S: f64 = 0.2;
const THOUGHT_S: f64 = 1.35;

impl<'a> Hands<'a> {
    fn on(walk: &'a Walk) -> Self {
        Self { walk, presses: 0, letters: 0 }
    }

    async fn press(&mut self, key: &str) {
        let at = self.walk.page.find_element("body").await.unwrap();
        at.press_key(key).await.unwrap();
        self.presses += 1;
    }

    /// Presses a key that leads to another page.
    async fn press_on(&mut self, key: &str) {
        value(&self.walk.page, "window.stale = true").await;
        self.press(key).await;
        self.walk.wait_for_fresh(key).await;
    }

    async fn write(&mut self, text: &str) {
        let at = self.walk.page.find_element("body").await.unwrap();
        at.type_str(text).await.unwrap();
        self.letters += text.chars().count();
    }

    /// That the page starts in a field: the browser puts the cursor there once it has drawn the page.
    async fn starts_in(&self, name: &str) {
        for _ in 0..100 {
            if self.focused().await == name {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the page starts in {:?}, not in {name:?}", self.focused().await);
    }

    async fn focused(&self) -> String {
        let name = "document.activeElement.name || document.activeElement.textContent.trim()";
        value(&self.walk.page, name).await.as_str().unwrap_or_default().to_owned()
    }

    /// Tabs to a field by its name, or to a link or button by its text. Where the focus is can always be seen.
    async fn tab_to(&mut self, name: &str) {
        for _ in 0..60 {
            if self.focused().await == name {
                let ring = "(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle; })()";
                assert_ne!(value(&self.walk.page, ring).await, "none", "{name}: nobody sees the focus");
                return;
            }
            self.press("Tab").await;
        }
        panic!("{name} is never reached by Tab");
    }

    fn told(&self, journey: &str) {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred keys")]
        let seconds = self.letters as f64 * KEY_S + self.presses as f64 * (KEY_S + THOUGHT_S / 2.0);
        eprintln!(
            "{journey}: {} key presses and {} letters, about {:.1} minutes",
            self.presses,
            self.letters,
            seconds / 60.0
        );
    }
}

fn known(value: &str) -> FieldInput {
    FieldInput { state: String::new(), value: value.into() }
}

fn desk(node: &casemesh::serve::Served, name: &str) -> Desk {
    let token = node.node.sign_in(&Knock::new(name, PASSWORD, "test")).unwrap();
    node.node.desk(&token).unwrap()
}

#[test]
fn five_people_work_a_day() {
    let Some(tools) = Walk::tools() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(day(tools));
}

async fn day(tools: (String, std::path::PathBuf)) {
    let made = tokio::task::spawn_blocking(|| {
        let mut new = new_node("Ugu Advice Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]);
        new.small_office = false;
        let advice = TestNode::new(&new);
        let shelter = TestNode::new(&new_node("Casa Amapola", OfficeKind::Shelter, vec![Role::Office], vec![]));
        let network = network(&[&advice, &shelter]);
        (advice, shelter, network)
    });
    let (advice, shelter, network) = made.await.unwrap();
    let (office, base) = served(&advice, &network).await;
    let (other, other_base) = served(&shelter, &network).await;
    let partner = shelter.office;
    let (admin, lead) = (desk(&office, "admin"), desk(&office, "worker"));
    let node = office.node.clone();
    tokio::task::spawn_blocking(move || {
        for (name, role) in [("paralegal", "caseworker"), ("volunteer", "volunteer"), ("auditor", "auditor")] {
            hire(&node, &admin, &lead, name, role, false);
        }
        let settings = SettingsInput {
            name: "Ugu Advice Office".into(),
            currency: "ZAR".into(),
            modules: vec!["legal".into()],
            approve_closure: true,
            ..SettingsInput::default()
        };
        admin.change_settings(&settings).unwrap();
    })
    .await
    .unwrap();
    let walk = Walk::open(tools).await;
    paralegal(&walk, &office, &base, &partner.to_string()).await;
    supervisor(&walk, &base).await;
    volunteer(&walk, &office, &base).await;
    auditor(&walk, &base).await;
    shelter_worker(&walk, &other_base).await;
    walk.close().await;
    for node in [office, other] {
        node.stop().await.unwrap();
    }
}

/// With the keyboard alone: a line of the register, a consult, an intake with its case, a referral.
async fn paralegal(walk: &Walk, office: &casemesh::serve::Served, base: &str, partner: &str) {
    walk.sign_in(base, "paralegal").await;
    let mut hands = Hands::on(walk);
    hands.tab_to("visitor").await;
    hands.write("Gogo Maria").await;
    hands.tab_to("note").await;
    hands.write("Her pension has not come").await;
    hands.press_on("Enter").await;
    walk.shows("Gogo Maria").await;
    hands.told("A line of the desk register");
    walk.check("day-register").await;

    let mut hands = Hands::on(walk);
    hands.tab_to("Advice given, done").await;
    hands.press_on("Enter").await;
    walk.shows("consult").await;
    hands.told("A consult from that line");

    // Register a person and open a case: two minutes and 25 key presses, beside the text.
    walk.go(base).await;
    let mut hands = Hands::on(walk);
    hands.starts_in("q").await;
    hands.write("Nomvula Dlamini").await;
    hands.press_on("Enter").await;
    hands.press_on("Enter").await;
    hands.starts_in("birth").await;
    hands.write("1994-05-17").await;
    hands.tab_to("sex").await;
    hands.press("F").await;
    hands.tab_to("telephone").await;
    hands.write("0825550101").await;
    hands.press_on("Enter").await;
    hands.starts_in("case_type").await;
    hands.press("L").await;
    hands.tab_to("summary").await;
    hands.write("Dismissed without notice, two weeks of wages owed").await;
    hands.tab_to("next_action").await;
    hands.press_on("Enter").await;
    walk.shows("Dismissed without notice").await;
    walk.shows("Labour").await;
    hands.told("An intake: a person registered, a case opened");
    assert!(hands.presses <= 25, "{} key presses", hands.presses);
    walk.check("day-case").await;
    let case_url = walk.page.url().await.unwrap().unwrap();

    // The consent is written down at the desk; the referral is made by keyboard.
    let theirs = desk(office, "paralegal");
    let recipient = partner.to_owned();
    tokio::task::spawn_blocking(move || {
        let client = theirs.search("Nomvula Dlamini").unwrap()[0].id;
        let consent = ConsentInput {
            purpose: "share_for_service".into(),
            recipients: vec![recipient],
            scope: vec!["names".into(), "contact".into()],
            expires: "2099-01-01".into(),
            method: "signed_paper".into(),
            giver: "person".into(),
            language: "en".into(),
            ..ConsentInput::default()
        };
        theirs.record_consent(client, consent).unwrap();
    })
    .await
    .unwrap();
    walk.go(&format!("{case_url}/refer")).await;
    let mut hands = Hands::on(walk);
    for (field, key) in [("to", "ArrowDown"), ("consent", "ArrowDown"), ("service", "ArrowDown")] {
        hands.tab_to(field).await;
        hands.press(key).await;
    }
    hands.tab_to("need").await;
    hands.write("A bed for one adult").await;
    hands.press("Tab").await;
    hands.press_on("Enter").await;
    walk.shows("Only after they accept").await;
    hands.tab_to("Send the referral").await;
    hands.press_on("Enter").await;
    walk.shows("Casa Amapola").await;
    hands.told("A referral, previewed and sent");
    walk.check("day-referral").await;

    // The case is done as far as the paralegal goes: a task of the next week, and the closure waits for the supervisor.
    walk.go(&case_url).await;
    walk.fill("form[action$='/tasks']", &[("title", "Call the labour centre"), ("due", "2026-01-05")]).await;
    walk.press("form[action$='/tasks']").await;
    walk.shows("Call the labour centre").await;
}

/// Due work, who has how much, what others ask, and a case that changes hands.
async fn supervisor(walk: &Walk, base: &str) {
    walk.sign_in(base, "worker").await;
    walk.shows("paralegal").await;
    walk.check("day-supervisor").await;
    for (path, name) in
        [("cases?stale=true", "stale"), ("cases?unassigned=true", "unassigned"), ("requests", "requests")]
    {
        walk.go(&format!("{base}{path}")).await;
        walk.check(&format!("day-{name}")).await;
    }
    walk.go(&format!("{base}cases")).await;
    walk.press("main td a[href^='/cases/']").await;
    walk.check("day-supervisor-case").await;
    walk.press("form[action$='/owner']").await;
    walk.go(&format!("{base}emergency")).await;
    walk.check("day-emergency").await;
    walk.go(&format!("{base}figures")).await;
    walk.check("day-figures").await;
}

/// Sees the case that they help with, and nothing else; writes nothing.
async fn volunteer(walk: &Walk, office: &casemesh::serve::Served, base: &str) {
    let lead = desk(office, "worker");
    let helps = office.node.sign_in(&Knock::new("volunteer", PASSWORD, "test")).unwrap();
    let helper = office.node.desk(&helps).unwrap().staff();
    let (shown, hidden) = tokio::task::spawn_blocking(move || {
        let input =
            |name: &str| PersonInput { identity: "self_declared".into(), given: known(name), ..PersonInput::default() };
        let open = |name: &str| {
            let person = lead.register_person(input(name)).unwrap();
            lead.open_case(vec![person], CaseInput { summary: format!("About {name}"), ..CaseInput::default() })
                .unwrap()
        };
        let (shown, hidden) = (open("Bongani"), open("Zanele"));
        lead.share_case(shown, vec![helper]).unwrap();
        (shown, hidden)
    })
    .await
    .unwrap();
    walk.sign_in(base, "volunteer").await;
    walk.check("day-volunteer").await;
    walk.go(&format!("{base}cases")).await;
    let text = walk.text().await;
    assert!(text.contains("Bongani") && !text.contains("Zanele"), "{text}");
    walk.go(&format!("{base}cases/{shown}")).await;
    walk.shows("About Bongani").await;
    walk.fill("section[aria-labelledby='write'] form", &[("text", "I went to the clinic with him.")]).await;
    walk.press("section[aria-labelledby='write'] form").await;
    walk.shows("I went to the clinic with him.").await;
    let text = walk.text().await;
    assert!(!text.contains("Close the case") && !text.contains("Record money"), "a volunteer changes nothing else");
    walk.check("day-volunteer-case").await;
    walk.go(&format!("{base}cases/{hidden}")).await;
    walk.shows("There is no such page or record").await;
    walk.check("day-volunteer-absent").await;
    walk.go(&format!("{base}figures")).await;
    walk.shows("Your account may not do this").await;
}

/// Reads who did what, and checks that the log holds; sees no person and no case.
async fn auditor(walk: &Walk, base: &str) {
    walk.sign_in(base, "auditor").await;
    walk.check("day-auditor").await;
    walk.go(&format!("{base}log")).await;
    walk.shows("Opened a case").await;
    walk.shows("Was refused").await;
    let text = walk.text().await;
    assert!(!text.contains("Nomvula") && !text.contains("Bongani"), "{text}");
    walk.press("form[action='/log'][method='post']").await;
    walk.shows("entries in one unbroken chain").await;
    walk.check("day-log").await;
    walk.go(&format!("{base}cases")).await;
    walk.shows("Your account may not do this").await;
}

/// Takes in a person who gives no name, with a safe way to reach them, a bed, and a warning for colleagues.
async fn shelter_worker(walk: &Walk, base: &str) {
    walk.sign_in(base, "worker").await;
    walk.fill("form[action='/find']", &[("q", "Amapola-7")]).await;
    walk.press("form[action='/find']").await;
    walk.press("form[action='/people/new']").await;
    let anonymous = [("identity", "anonymous"), ("given", ""), ("given_state", "refused"), ("family_state", "refused")];
    walk.fill("main form", &anonymous).await;
    walk.fill("main form", &[("alias", "Amapola-7"), ("safe_text", "on"), ("code_word", "library")]).await;
    walk.press("button[name='then']").await;
    walk.fill("main form", &[("summary", "Needs a bed tonight"), ("sealed", "on")]).await;
    walk.press("main form").await;
    walk.shows("Needs a bed tonight").await;
    let case_url = walk.page.url().await.unwrap().unwrap();
    walk.go(&format!("{case_url}/entries/stay")).await;
    let stay = [("stay_place", "Room 2"), ("stay_kind", "shelter"), ("arrived_on", "2026-11-01")];
    walk.fill("main form", &stay).await;
    walk.press("main form").await;
    walk.shows("Room 2").await;
    walk.check("day-stay").await;
    walk.press(".safe-box a[href^='/people/']").await;
    walk.shows("refused to say").await;
    walk.check("day-anonymous").await;
}
