//! A real headless Chromium walks the story through the pages of two offices. Every page it comes to is checked with
//! axe-core, for horizontal overflow at 360 pixels, and for errors in its console; screenshots lie in
//! `target/screenshots`. Without Chromium this fails where `CI` is set and is passed over elsewhere.

use crate::harness::{PASSWORD, TestNode, eventually, free_port, network, new_node};
use crate::membership::founded;
use casemesh::serve::Served;
use casemesh_protocol::directory::{OfficeKind, Role};
use chromiumoxide::browser::{Browser, BrowserConfig};
use chromiumoxide::cdp::browser_protocol::emulation::SetDeviceMetricsOverrideParams;
use chromiumoxide::cdp::browser_protocol::log::{EventEntryAdded, LogEntryLevel};
use chromiumoxide::cdp::browser_protocol::page::CaptureScreenshotFormat;
use chromiumoxide::cdp::js_protocol::runtime::{EvaluateParams, EventExceptionThrown};
use chromiumoxide::page::{Page, ScreenshotParams};
use futures::StreamExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the auditor chooses.
const OWN_PASSWORD: &str = "a kettle sings at seven";

const CHROMIUM: &str = "/usr/bin/chromium";

pub(crate) struct Walk {
    pub(crate) page: Page,
    axe: String,
    shots: PathBuf,
    /// What the console said that it should not: errors, and what the policies refused.
    console: Arc<Mutex<Vec<String>>>,
    browser: Browser,
    polling: tokio::task::JoinHandle<()>,
    _profile: tempfile::TempDir,
}

/// Bytes of a page, and of all styles and scripts, as they go over the line.
const PAGE_BYTES_MAX: i64 = 30_000;
const PARTS_BYTES_MAX: i64 = 60_000;

pub(crate) async fn value(page: &Page, script: &str) -> serde_json::Value {
    let parameters =
        EvaluateParams::builder().expression(script).await_promise(true).return_by_value(true).build().unwrap();
    page.evaluate_expression(parameters)
        .await
        .unwrap_or_else(|error| panic!("{script}: {error}"))
        .value()
        .cloned()
        .unwrap_or_default()
}

async fn width(page: &Page, pixels: i64) {
    let metrics = SetDeviceMetricsOverrideParams::new(pixels, 900, 1.0, false);
    page.execute(metrics).await.unwrap();
}

impl Walk {
    /// A browser; none where there is none and nobody insists.
    pub(crate) fn tools() -> Option<(String, PathBuf)> {
        let axe = std::env::var_os("CASEMESH_AXE").map(PathBuf::from);
        let (true, Some(axe)) = (Path::new(CHROMIUM).exists(), axe) else {
            assert!(std::env::var_os("CI").is_none(), "no Chromium or no axe-core; run the tests with .ci/test");
            eprintln!("passed over: no Chromium or no axe-core; run the tests with .ci/test");
            return None;
        };
        let shots = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&shots).unwrap();
        Some((std::fs::read_to_string(axe).unwrap(), shots))
    }

    pub(crate) async fn open((axe, shots): (String, PathBuf)) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let config = BrowserConfig::builder()
            .chrome_executable(CHROMIUM)
            .no_sandbox()
            .user_data_dir(profile.path())
            .args([
                "disable-gpu",
                "disable-quic",
                "no-first-run",
                "disable-background-networking",
                "disable-component-update",
                "disable-sync",
            ])
            .build()
            .unwrap();
        let (browser, mut events) = Browser::launch(config).await.unwrap();
        let polling = tokio::spawn(async move { while events.next().await.is_some() {} });
        let page = browser.new_page("about:blank").await.unwrap();
        page.enable_log().await.unwrap();
        let console = Arc::new(Mutex::new(Vec::new()));
        let mut thrown = page.event_listener::<EventExceptionThrown>().await.unwrap();
        let mut logged = page.event_listener::<EventEntryAdded>().await.unwrap();
        let (of_scripts, of_policies) = (Arc::clone(&console), Arc::clone(&console));
        tokio::spawn(async move {
            while let Some(event) = thrown.next().await {
                of_scripts.lock().unwrap().push(event.exception_details.text.clone());
            }
        });
        tokio::spawn(async move {
            while let Some(event) = logged.next().await {
                let entry = &event.entry;
                // A form that comes back with something wrong in it is answered with a status that the browser logs.
                // Nobody touched this page with a hand, so the browser asks nothing before it is left.
                let is_status = entry.text.contains("the server responded with a status of 4")
                    || entry.text.contains("'beforeunload' confirmation panel");
                if entry.level == LogEntryLevel::Error && !is_status {
                    of_policies.lock().unwrap().push(entry.text.clone());
                }
            }
        });
        Self { page, axe, shots, console, browser, polling, _profile: profile }
    }

    pub(crate) async fn close(mut self) {
        self.browser.close().await.unwrap();
        self.browser.wait().await.unwrap();
        self.polling.abort();
    }

    pub(crate) async fn go(&self, url: &str) {
        self.page.goto(url).await.unwrap();
    }

    /// Types into fields by their names, as a person would see it in the form's state.
    pub(crate) async fn fill(&self, form: &str, fields: &[(&str, &str)]) {
        for (name, text) in fields {
            let script = format!(
                "(() => {{ const form = document.querySelector({form:?});
                    const all = [...form.elements].filter(e => e.name === {name:?});
                    const box = all.find(e => (e.type === 'checkbox') && (e.value === {text:?} || e.parentElement.innerText.includes({text:?})));
                    if (box) {{ box.click(); return box.checked; }}
                    const field = all.find(e => e.type !== 'checkbox');
                    if (field.tagName === 'SELECT' && ![...field.options].some(o => o.value === {text:?}))
                        field.value = [...field.options].find(o => o.text.includes({text:?})).value;
                    else field.value = {text:?};
                    field.dispatchEvent(new Event('input', {{ bubbles: true }}));
                    return true; }})()"
            );
            assert_eq!(value(&self.page, &script).await, true, "{name} in {form}");
        }
    }

    /// Chooses a file in a form.
    pub(crate) async fn attach(&self, form: &str, name: &str, text: &str) {
        let script = format!(
            "(() => {{ const data = new DataTransfer(); data.items.add(new File([{text:?}], {name:?}));
                document.querySelector({form:?}).querySelector('input[type=file]').files = data.files; return true; }})()"
        );
        assert_eq!(value(&self.page, &script).await, true);
    }

    /// Presses the form's button, or the one that the selector names, and waits for the next page.
    pub(crate) async fn press(&self, selector: &str) {
        value(&self.page, "window.stale = true").await;
        let script = format!(
            "(() => {{ const e = document.querySelector({selector:?}); (e.tagName === 'FORM' ? e.querySelector('button') : e).click(); return true; }})()"
        );
        assert_eq!(value(&self.page, &script).await, true, "{selector}");
        self.wait_for_fresh(selector).await;
    }

    /// Waits for the page after the one that was marked as stale.
    pub(crate) async fn wait_for_fresh(&self, after: &str) {
        for _ in 0..600 {
            let fresh = "document.readyState === 'complete' && window.stale === undefined";
            let parameters = EvaluateParams::builder().expression(fresh).return_by_value(true).build().unwrap();
            if self.page.evaluate_expression(parameters).await.is_ok_and(|v| v.value() == Some(&true.into())) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("nothing came after {after}");
    }

    pub(crate) async fn text(&self) -> String {
        value(&self.page, "document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn shows(&self, text: &str) {
        let found = self.text().await;
        assert!(found.contains(text), "{text:?} is not in:\n{found}");
    }

    pub(crate) async fn wait_until(&self, text: &str) {
        for _ in 0..300 {
            if self.text().await.contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{text:?} never came:\n{}", self.text().await);
    }

    pub(crate) async fn reload_until(&self, text: &str) {
        for _ in 0..300 {
            if self.text().await.contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.page.reload().await.unwrap();
        }
        panic!("{text:?} never came:\n{}", self.text().await);
    }

    /// Checks the page as it is: axe, overflow, title; and takes its picture wide and narrow.
    pub(crate) async fn check(&self, name: &str) {
        value(&self.page, &format!("(() => {{ if (!window.axe) {{ {} }} return true; }})()", self.axe)).await;
        let run = "axe.run(document, { resultTypes: ['violations'], rules: { 'target-size': { enabled: true } } }).then(r => JSON.stringify(r.violations.map(v => [v.id, v.nodes.map(n => n.html)])))";
        let found = value(&self.page, run).await;
        assert_eq!(found.as_str(), Some("[]"), "{name}: axe");
        let said = std::mem::take(&mut *self.console.lock().unwrap());
        assert!(said.is_empty(), "{name}: {said:?}");
        for (pixels, suffix) in [(1200, "wide"), (360, "narrow")] {
            width(&self.page, pixels).await;
            let overflow = value(&self.page, "document.documentElement.scrollWidth").await;
            assert!(overflow.as_i64().unwrap() <= pixels, "{name}: {overflow} pixels at {pixels}");
            let parameters = ScreenshotParams::builder().format(CaptureScreenshotFormat::Png).full_page(true).build();
            let file = self.shots.join(format!("{name}-{suffix}.png"));
            self.page.save_screenshot(parameters, file).await.unwrap();
        }
        // The narrowest screens, and letters of twice the size (WCAG 1.4.10 and 1.4.4).
        for (pixels, letters) in [(320, "100%"), (1200, "200%")] {
            width(&self.page, pixels).await;
            let script = format!(
                "(() => {{ const root = document.documentElement; root.style.fontSize = {letters:?}; const width = root.scrollWidth; root.style.fontSize = ''; return width; }})()"
            );
            let overflow = value(&self.page, &script).await;
            assert!(
                overflow.as_i64().unwrap() <= pixels,
                "{name}: {overflow} pixels at {pixels}, letters of {letters}"
            );
        }
        width(&self.page, 1200).await;
        self.weigh(name).await;
        let title = value(&self.page, "document.title").await;
        assert!(title.as_str().is_some_and(|title| title.len() > 11), "{name}: {title}");
        assert_eq!(value(&self.page, "document.querySelectorAll('h1').length").await, 1, "{name}: one h1");
    }

    /// That page, styles and scripts are small enough for a poor line, as they go over it.
    async fn weigh(&self, name: &str) {
        let script = "(() => { const page = performance.getEntriesByType('navigation')[0]; const parts = performance.getEntriesByType('resource').filter(part => part.name.includes('/a/')); return [page.encodedBodySize, parts.reduce((sum, part) => sum + part.encodedBodySize, 0)]; })()";
        let sizes = value(&self.page, script).await;
        let (page, parts) = (sizes[0].as_i64().unwrap(), sizes[1].as_i64().unwrap());
        assert!(
            page <= PAGE_BYTES_MAX && parts <= PARTS_BYTES_MAX,
            "{name}: page {page} bytes, styles and scripts {parts}"
        );
    }

    pub(crate) async fn sign_in(&self, base: &str, name: &str) {
        self.sign_in_with(base, name, PASSWORD).await;
    }

    pub(crate) async fn sign_in_with(&self, base: &str, name: &str, password: &str) {
        self.go(base).await;
        if value(&self.page, "document.querySelector(\"form[action='/sign-out']\") !== null").await == true {
            self.press("form[action='/sign-out']").await;
        }
        self.fill("main form", &[("name", name), ("password", password)]).await;
        self.press("main form").await;
    }
}

pub(crate) async fn served(node: &TestNode, network: &[u8]) -> (Served, String) {
    let served = Served::start(node.to_serve()).await.unwrap();
    let (running, bytes) = (served.node.clone(), network.to_vec());
    tokio::task::spawn_blocking(move || running.join(&bytes)).await.unwrap().unwrap();
    let base = format!("http://{}/", served.address);
    (served, base)
}

/// Who belongs to the network, on the pages: an office is invited, knocks, is looked at, and is let in by two people.
#[test]
fn an_office_joins_in_a_real_browser() {
    let Some(tools) = Walk::tools() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(join_walk(tools));
}

async fn join_walk(tools: (String, PathBuf)) {
    let made = tokio::task::spawn_blocking(|| {
        let port = free_port();
        let mut new = new_node("Support organisation", OfficeKind::Ngo, vec![Role::Office], vec![]);
        new.config.lobby = Some(format!("/ip4/127.0.0.1/tcp/{port}"));
        let support = TestNode::new(&new);
        let file = founded(&support);
        let shelter = new_node("Casa Amapola Shelter", OfficeKind::Shelter, vec![Role::Office], vec![]);
        (support, file, TestNode::new(&shelter))
    });
    let (support, file, shelter) = made.await.unwrap();
    let (_support_served, support_base) = served(&support, &file).await;
    let shelter_served = Served::start(shelter.to_serve()).await.unwrap();
    let shelter_base = format!("http://{}/", shelter_served.address);
    let walk = Walk::open(tools).await;
    walk.sign_in(&support_base, "admin").await;
    walk.go(&format!("{support_base}network/membership")).await;
    walk.check("membership").await;
    walk.attach("form[action='/network/newcomer']", "office.card", "no card").await;
    walk.press("form[action='/network/newcomer']").await;
    walk.check("membership-problem").await;
    walk.fill("form[action='/network/invite']", &[("note", "The shelter in Ugu")]).await;
    walk.press("form[action='/network/invite']").await;
    walk.check("membership-invited").await;
    let text = value(&walk.page, "document.querySelector('p.code').textContent").await;

    walk.sign_in(&shelter_base, "admin").await;
    walk.go(&format!("{shelter_base}network")).await;
    walk.fill("form[action='/network/join']", &[("invitation", "HELLO")]).await;
    walk.press("form[action='/network/join']").await;
    walk.check("network-alone-problem").await;
    walk.fill("form[action='/network/join']", &[("invitation", text.as_str().unwrap())]).await;
    walk.press("form[action='/network/join']").await;
    walk.check("network-joining").await;

    walk.sign_in(&support_base, "admin").await;
    walk.go(&format!("{support_base}network/membership")).await;
    walk.reload_until("Casa Amapola Shelter").await;
    walk.check("membership-knocked").await;
    walk.go(&support_base).await;
    walk.shows("asks to join the network").await;
    walk.check("home-knocking").await;
    walk.go(&format!("{support_base}network/membership")).await;
    walk.press("form[action='/network/admit']").await;
    walk.check("membership-asked").await;
    walk.sign_in(&support_base, "worker").await;
    walk.go(&format!("{support_base}requests")).await;
    walk.check("requests-admit").await;
    walk.press("form[action^='/requests/'] button[value='on']").await;
    eventually("it is in", || shelter_served.node.directory());
    walk.sign_in(&shelter_base, "worker").await;
    walk.go(&format!("{shelter_base}network")).await;
    walk.shows("Support organisation").await;
    walk.check("network-joined").await;
    walk.close().await;
}

/// A full packet that waits at a hub, and a service of an imported directory, on the pages.
#[test]
fn what_waits_at_a_hub_and_a_listed_service_in_a_real_browser() {
    let Some(tools) = Walk::tools() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(held_walk(tools));
}

async fn held_walk(tools: (String, PathBuf)) {
    let made = tokio::task::spawn_blocking(|| {
        let hub = TestNode::new(&new_node("Ugu hub", OfficeKind::Coordination, vec![Role::Hub], vec![]));
        let office = |name: &str, hubs| TestNode::new(&new_node(name, OfficeKind::Shelter, vec![Role::Office], hubs));
        let advice = office("Ugu Advice Office", vec![hub.office]);
        let shelter = office("Casa Amapola Shelter", vec![]);
        let file = network(&[&hub, &advice, &shelter]);
        (hub, advice, shelter, file)
    });
    let (hub, advice, shelter, file) = made.await.unwrap();
    let (_hub_served, _) = served(&hub, &file).await;
    let (advice_served, advice_base) = served(&advice, &file).await;
    let (shelter_served, shelter_base) = served(&shelter, &file).await;
    let desk_of = |served: &Served| {
        let node = served.node.clone();
        tokio::task::spawn_blocking(move || {
            let token = node.sign_in(&casemesh_node::node::Knock::new("worker", PASSWORD, "test")).unwrap();
            node.desk(&token).unwrap()
        })
    };
    let (desk, theirs) = (desk_of(&advice_served).await.unwrap(), desk_of(&shelter_served).await.unwrap());
    let (person, case) = crate::referring::client(&desk);
    crate::referring::consent(&desk, person, shelter.office, &["names", "contact"], &[]);
    let walk = Walk::open(tools).await;
    walk.sign_in(&advice_base, "worker").await;
    walk.go(&format!("{advice_base}network/own")).await;
    let tables = "(() => { const data = new DataTransfer();
        data.items.add(new File(['id,organization_id,name,description,assured_date,eligibility_description\\ns1,o1,Counselling,Talks for people in distress,2026-05-01,Women and children\\n'], 'services.csv'));
        data.items.add(new File(['id,name\\no1,Hope\\n'], 'organizations.csv'));
        data.items.add(new File(['id,service_id,number\\np1,s1,039 555 0177\\n'], 'phones.csv'));
        data.items.add(new File(['id\\n1\\n'], 'funding.csv'));
        document.querySelector(\"form[action='/network/services'] input[type=file]\").files = data.files; return true; })()";
    assert_eq!(value(&walk.page, tables).await, true);
    walk.press("form[action='/network/services'] button").await;
    walk.shows("funding.csv").await;
    walk.check("own-entry-tables").await;

    // From the case to a service that no consent names yet.
    walk.go(&format!("{advice_base}cases/{case}/refer")).await;
    walk.press("a[href^='/network?case=']").await;
    walk.fill("form[action='/network/find']", &[("words", "distress")]).await;
    walk.press("form[action='/network/find']").await;
    walk.check("network-for-case").await;
    walk.press("form:has(input[name='listing']) button").await;
    walk.shows("Ask the client first").await;
    walk.check("refer-unnamed").await;
    walk.press("form[action$='/consents/new']").await;
    assert_eq!(value(&walk.page, "document.querySelector('#outside').value").await, "Hope");
    walk.check("consent-for-service").await;

    // To an office of the network, with the full packet at our hub.
    walk.go(&format!("{advice_base}cases/{case}/refer")).await;
    let form = format!("form[action='/cases/{case}/refer']");
    let fields =
        [("to", "Casa Amapola"), ("consent", "Casa Amapola"), ("service", "safe_house"), ("urgency", "urgent")];
    walk.fill(&form, &fields).await;
    walk.fill(&form, &[("need", "A bed for one adult tonight"), ("wait_at_hub", "on")]).await;
    value(&walk.page, "(() => { document.querySelectorAll('details').forEach(d => d.open = true); return true; })()")
        .await;
    walk.check("refer-hub").await;
    walk.press(&form).await;
    walk.shows("It goes as soon as they accept").await;
    walk.check("refer-hub-preview").await;
    walk.press(&form).await;
    walk.reload_until("until they accept").await;
    walk.check("referral-held").await;

    walk.sign_in(&shelter_base, "worker").await;
    let received = eventually("it arrives", || theirs.referrals(false).unwrap().first().map(|referral| referral.id));
    walk.go(&format!("{shelter_base}referrals/{received}")).await;
    walk.shows("comes as soon as this is accepted").await;
    walk.check("referral-held-theirs").await;
    crate::referring::step(&theirs, received, "accepted", "", "Come tonight");
    walk.reload_until("Nomvula").await;
    walk.check("referral-held-here").await;
    walk.go(&format!("{shelter_base}referrals")).await;
    walk.check("referrals-table").await;
    walk.close().await;
}

#[test]
fn the_story_in_a_real_browser() {
    let Some(tools) = Walk::tools() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(walk(tools));
}

async fn walk(tools: (String, PathBuf)) {
    let made = tokio::task::spawn_blocking(|| {
        let advice =
            TestNode::new(&new_node("Ugu Advice Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
        let shelter = TestNode::new(&new_node("Casa Amapola Shelter", OfficeKind::Shelter, vec![Role::Office], vec![]));
        let collector =
            TestNode::new(&new_node("Coordination", OfficeKind::Coordination, vec![Role::Collector], vec![]));
        let network = network(&[&advice, &shelter, &collector]);
        (advice, shelter, collector, network)
    });
    let (advice, shelter, collector, network) = made.await.unwrap();
    let (advice_served, advice_base) = served(&advice, &network).await;
    let (shelter_served, shelter_base) = served(&shelter, &network).await;
    let (collector_served, collector_base) = served(&collector, &network).await;

    let walk = Walk::open(tools).await;

    walk.go(&advice_base).await;
    walk.check("sign-in").await;
    walk.fill("main form", &[("name", "worker"), ("password", "wrong")]).await;
    walk.press("main form").await;
    walk.shows("The name or the password is not right").await;
    walk.sign_in(&advice_base, "worker").await;
    walk.check("home-empty").await;

    // The desk register, and a mistake in it.
    walk.go(&format!("{advice_base}register")).await;
    walk.fill("main form", &[("visitor", "Gogo Maria"), ("minutes", "many")]).await;
    walk.press("main form").await;
    walk.shows("is not a number of minutes").await;
    walk.check("register-problem").await;
    walk.fill("main form", &[("minutes", "5"), ("note", "Asked about her pension"), ("topic", "social_grant")]).await;
    walk.press("main form").await;
    walk.shows("Asked about her pension").await;
    walk.check("register").await;
    walk.press("a[href$='#case']").await;
    walk.shows("For whom?").await;
    walk.check("register-line").await;
    walk.press("form[action$='/case']").await;
    walk.shows("Gogo Maria").await;
    // What the case is was not said yet.
    walk.press("a[href$='/edit']").await;
    walk.fill("main form[data-keep]", &[("summary", "Her pension stopped."), ("find", "zz")]).await;
    walk.press("button[name='search']").await;
    walk.check("case-edit").await;
    walk.press("main form[data-keep] > button").await;
    walk.shows("Her pension stopped.").await;
    walk.check("case-from-line").await;

    // Search first, then register.
    walk.go(&format!("{advice_base}find")).await;
    walk.fill("main form", &[("q", "Nomvula Dlamini")]).await;
    walk.press("main form").await;
    walk.shows("Nobody was found").await;
    walk.check("find").await;
    walk.press("form[action='/people/new']").await;
    walk.check("person-new").await;
    walk.fill(
        "main form",
        &[
            ("birth", "1994-05-17"),
            ("sex", "female"),
            ("telephone", "082 555 0101"),
            ("address_state", "refused"),
            ("area", "Ugu"),
            ("language", "zu"),
            ("safe_text", "on"),
            ("code_word", "library"),
        ],
    )
    .await;
    walk.press("button.second:not([name])").await;
    walk.shows("Nomvula Dlamini").await;
    walk.shows("refused to say").await;
    let person_url = walk.page.url().await.unwrap().unwrap();
    walk.go(&format!("{person_url}/consents/new")).await;
    walk.fill("main form", &[("recipients", "Casa Amapola")]).await;
    walk.press("main form").await;
    walk.shows("Choose what may be shared").await;
    walk.check("consent-problem").await;
    walk.fill(
        "main form",
        &[
            ("scope", "names"),
            ("scope", "contact"),
            ("scope", "case_brief"),
            ("scope", "documents"),
            ("withheld", "address"),
            ("withheld_reason", "fear_of_harm"),
            ("expires", "2099-01-01"),
            ("language", "zu"),
            ("method", "signed_paper"),
            ("giver", "person"),
        ],
    )
    .await;
    walk.press("main form").await;
    walk.shows("Share so that another office can help").await;
    walk.check("person").await;
    walk.go(&format!("{person_url}/cases/new")).await;
    walk.check("case-new").await;
    walk.fill(
        "main form",
        &[
            ("case_type", "domestic_violence"),
            ("summary", "Needs a safe place"),
            ("next_action", "Call the shelter"),
            ("next_due", "2026-01-01"),
        ],
    )
    .await;
    walk.press("main form").await;
    walk.fill("form[action$='/actions']", &[("text", "Explained the protection order"), ("minutes", "30")]).await;
    walk.press("form[action$='/actions']").await;
    walk.shows("Explained the protection order").await;
    let case_url = walk.page.url().await.unwrap().unwrap();

    // What is typed and not sent is found again.
    walk.fill("form[action$='/actions']", &[("text", "Half a sentence about the")]).await;
    walk.wait_until("Kept as a draft at").await;
    walk.go(&advice_base).await;
    walk.shows("Half a sentence about the").await;
    walk.check("home-draft").await;
    walk.press("a[href^='/drafts/']").await;
    walk.check("draft").await;
    walk.press("form[action$='/drop']").await;
    assert!(!walk.text().await.contains("Half a sentence"));

    // A document, and the mistake of choosing none.
    let form = "form[enctype]";
    walk.go(&case_url).await;
    walk.fill(form, &[("title", "The order")]).await;
    walk.press(form).await;
    walk.shows("Choose a file first").await;
    walk.check("document-problem").await;
    let choose = "(() => { const data = new DataTransfer(); data.items.add(new File(['An order'], 'order.txt'));
        document.querySelector(\"form[enctype] input[type=file]\").files = data.files; return true; })()";
    assert_eq!(value(&walk.page, choose).await, true);
    walk.press(form).await;
    walk.shows("order.txt").await;

    // A form from its definition, with a mistake in it, and blank on paper.
    walk.go(&format!("{case_url}/entries/party")).await;
    walk.fill("main form", &[("party_role", "perpetrator"), ("telephone_state", "unknown")]).await;
    walk.press("main form").await;
    walk.check("entry-problem").await;
    walk.fill("main form", &[("party_name", "Themba Dlamini")]).await;
    walk.press("main form").await;
    walk.shows("Themba Dlamini").await;
    walk.go(&format!("{case_url}/entries/risk")).await;
    let risk = [("risk_level", "high"), ("judgement_reason", "He knows where she works"), ("review_on", "2026-02-01")];
    walk.fill("main form", &risk).await;
    walk.press("main form").await;
    walk.shows("Look at the risk again").await;
    walk.press("a[href*='corrects=']").await;
    walk.shows("This corrects an earlier entry").await;
    walk.check("entry-correct").await;
    walk.press("main form").await;
    walk.shows("corrected later").await;
    walk.check("case").await;
    walk.go(&format!("{advice_base}forms/incident/print")).await;
    walk.check("form-blank").await;
    walk.go(&format!("{person_url}/entries/alert")).await;
    walk.fill("main form", &[("alert_kind", "contact"), ("alert_text", "Never call after six")]).await;
    walk.press("main form").await;
    walk.shows("Never call after six").await;
    walk.check("person-alert").await;
    walk.go(&format!("{advice_base}office/entries/activity")).await;
    walk.fill("main form", &[("activity_kind", "training"), ("subject", "Wage claims"), ("women", "14")]).await;
    walk.press("main form").await;
    walk.shows("Wage claims").await;
    walk.check("office").await;
    walk.go(&format!("{advice_base}tasks")).await;
    walk.shows("Call the shelter").await;
    walk.check("tasks").await;
    walk.press("button[value='done'][aria-label*='Look at the risk again']").await;

    // A family with a mistake in it, a group with a roll, two records of one person, and an address behind a click.
    walk.go(&format!("{advice_base}families/new")).await;
    let family = [("1:given", "Zanele"), ("1:family", "Khumalo"), ("2:given", "Bongani"), ("summary", "The rent")];
    walk.fill("main form", &family).await;
    walk.press("main form").await;
    walk.check("family-problem").await;
    walk.fill("main form", &[("2:relation", "child")]).await;
    walk.press("main form").await;
    walk.press("main a[href^='/people/']").await;
    walk.shows("Bongani Khumalo").await;
    walk.go(&format!("{advice_base}find")).await;
    walk.fill("main form", &[("q", "Nomwula Dlamini")]).await;
    walk.press("main form").await;
    walk.press("form[action='/people/new']").await;
    walk.fill("main form", &[("birth", "1986-09-07"), ("birth_calendar", "ethiopic"), ("telephone", "082 555 0101")])
        .await;
    walk.fill("main form", &[("is_group", "on"), ("address", "4 Hill Road"), ("address_protected", "on")]).await;
    walk.press("button.second:not([name])").await;
    walk.shows("Ethiopian").await;
    assert!(!walk.text().await.contains("Hill Road"));
    walk.press("form[action$='/reveal']").await;
    walk.shows("4 Hill Road").await;
    walk.fill("form[action$='/members']", &[("name", "Lindiwe"), ("speaks", "on")]).await;
    walk.press("form[action$='/members']").await;
    walk.shows("Speaks for the group").await;
    walk.check("person-group").await;
    walk.fill("form[action$='/others']", &[("q", "Nomvula")]).await;
    walk.press("form[action$='/others']").await;
    walk.check("others").await;
    walk.go(&format!("{advice_base}duplicates")).await;
    walk.check("duplicates").await;
    walk.press("a[href*='/compare/']").await;
    walk.check("compare").await;
    walk.press("form[action$='/merge']").await;
    walk.shows("These records turned out to be about this person").await;
    walk.press("form[action$='/unmerge']").await;
    walk.go(&format!("{advice_base}find")).await;
    walk.fill("main form", &[("q", "Zanele Khumalo")]).await;
    walk.press("main form").await;
    walk.press("main a[href^='/people/']").await;
    let bongani = value(&walk.page, "location.pathname").await;
    walk.go(&format!("{advice_base}{}/erase", bongani.as_str().unwrap().trim_start_matches('/'))).await;
    walk.check("erase").await;

    // Two people change one record: both values stand side by side, and nothing that was typed is lost.
    walk.go(&format!("{person_url}/change")).await;
    let meanwhile = format!(
        "(async () => {{ const form = new FormData(document.querySelector('main form')); form.set('area', 'Hill'); form.set('telephone', '082 555 0102'); \
         await fetch('{person_url}', {{ method: 'POST', body: new URLSearchParams(form) }}); }})()"
    );
    value(&walk.page, &meanwhile).await;
    walk.fill("main form", &[("telephone", "082 555 0103"), ("alias", "Nono")]).await;
    walk.press("main form").await;
    walk.shows("Somebody else changed this record").await;
    walk.shows("082 555 0102").await;
    walk.check("person-beside").await;
    walk.fill("main form", &[("telephone", "082 555 0101")]).await;
    walk.press("main form").await;
    walk.shows("Hill").await;

    walk.go(&format!("{person_url}/erase")).await;
    walk.shows("Close it first").await;
    walk.check("erase-busy").await;

    // A letter and what followed from it, what two clients share, free places, and the review of the team.
    walk.go(&format!("{case_url}/entries/letter")).await;
    let letter = [("direction", "out"), ("party_name", "Mr Venter"), ("subject", "Notice to leave")];
    walk.fill("main form", &letter).await;
    walk.press("main form").await;
    let letter = value(&walk.page, "document.querySelector('.timeline li').id.slice(6)").await;
    walk.go(&format!("{case_url}/entries/letter?follows={}", letter.as_str().unwrap())).await;
    walk.fill("main form", &[("direction", "in"), ("party_name", "Mr Venter"), ("subject", "His answer")]).await;
    walk.press("main form").await;
    walk.go(&case_url).await;
    walk.press(".timeline a[href*='follows='][href$='#write']").await;
    walk.shows("follows from").await;
    walk.check("case-follow").await;
    walk.fill("form[action$='/actions']", &[("text", "We talk to his lawyer")]).await;
    walk.press("form[action$='/actions']").await;
    walk.go(&format!("{case_url}/chain")).await;
    walk.shows("We talk to his lawyer").await;
    walk.check("chain").await;
    walk.go(&format!("{advice_base}links")).await;
    walk.check("links").await;
    walk.go(&format!("{advice_base}office/entries/place")).await;
    walk.fill("main form", &[("stay_place", "Blue house"), ("places", "4")]).await;
    walk.press("main form").await;
    walk.go(&format!("{advice_base}places")).await;
    walk.shows("Blue house").await;
    walk.check("places").await;
    walk.go(&format!("{advice_base}review?from=2020-01-01&to=x")).await;
    walk.shows("is not a day").await;
    walk.check("review-problem").await;
    walk.go(&format!("{advice_base}review")).await;
    assert!(!walk.text().await.contains("Nomvula"), "no client is named");
    walk.fill(".cards form", &[("title", "Visit her together")]).await;
    walk.press(".cards form").await;
    walk.check("review").await;
    walk.go(&format!("{advice_base}tasks?mine=false")).await;
    walk.shows("Visit her together").await;

    // A flag, a grant, and the page that is turned towards the client.
    walk.go(&format!("{advice_base}grants")).await;
    walk.fill(
        "main form",
        &[("name", "Farm dwellers"), ("from", "2026-01-01"), ("to", "2099-12-31"), ("cases", "ten")],
    )
    .await;
    walk.press("main form").await;
    walk.check("grants-problem").await;
    walk.fill("main form", &[("cases", "10")]).await;
    walk.press("main form").await;
    walk.shows("Farm dwellers").await;
    walk.check("grants").await;
    walk.go(&case_url).await;
    value(&walk.page, "document.querySelector(\"input[name='grants']\").click()").await;
    walk.press("form[action$='/grants']").await;
    let flag = [("kind", "flag"), ("title", "Two dates differ"), ("due", "2099-01-01")];
    walk.fill("form[action$='/tasks']", &flag).await;
    walk.press("form[action$='/tasks']").await;
    walk.check("case-flag").await;
    walk.fill("form[action$='/resolve']", &[("resolution", "The summons names the right one")]).await;
    walk.press("form[action$='/resolve']").await;
    walk.go(&format!("{person_url}/entries/client_says")).await;
    walk.fill("main form", &[("client_words", "I am not married to him any more")]).await;
    walk.press("main form").await;
    walk.go(&format!("{person_url}/view")).await;
    walk.shows("I am not married to him any more").await;
    walk.check("hers").await;

    // Refer: the name is caught, the preview is exact, and it is sent.
    walk.go(&format!("{case_url}/refer")).await;
    walk.check("refer").await;
    let referral =
        [("to", "Casa Amapola"), ("consent", "Casa Amapola"), ("service", "safe_house"), ("urgency", "urgent")];
    walk.fill("main form", &referral).await;
    walk.fill("main form", &[("need", "A bed for Nomvula")]).await;
    walk.press("main form").await;
    walk.shows("holds a name of the client").await;
    walk.fill("main form", &[("need", "A bed for one adult")]).await;
    assert_eq!(value(&walk.page, "document.querySelector('#documents input').click() === undefined").await, true);
    walk.press("main form").await;
    walk.shows("Only after they accept").await;
    walk.shows("The order").await;
    walk.check("refer-preview").await;
    walk.press("main form").await;
    walk.reload_until("arrived").await;
    walk.check("referral-sent").await;
    let referral_url = walk.page.url().await.unwrap().unwrap();

    // The other side.
    eventually("the packet waits", || (shelter_served.node.door().waiting == 1).then_some(()));
    walk.go(&shelter_base).await;
    walk.shows("One packet waits. At least one is urgent.").await;
    walk.check("sign-in-locked").await;
    walk.sign_in(&shelter_base, "worker").await;
    walk.reload_until("Safe house").await;
    walk.check("home-incoming").await;
    walk.press("a[href^='/referrals/']").await;
    let text = walk.text().await;
    assert!(!text.contains("Nomvula") && !text.contains("555"), "{text}");
    walk.check("referral-received").await;
    walk.fill("form:has(input[value='accepted'])", &[("note", "Side gate, six o'clock")]).await;
    walk.press("form:has(input[value='accepted'])").await;
    walk.reload_until("082 555 0101").await;
    eventually("the document is here", || {
        let documents = shelter.folder.path().join("documents");
        std::fs::read_dir(documents).ok()?.next().map(|_| ())
    });
    walk.reload_until("The order").await;
    walk.check("referral-accepted").await;
    walk.press("form[action$='/case']").await;
    walk.shows("Nomvula Dlamini").await;
    // Back at the sender for a moment: more could be shared.
    let received_case = walk.page.url().await.unwrap().unwrap();
    walk.sign_in(&advice_base, "worker").await;
    walk.go(&format!("{referral_url}/more")).await;
    walk.fill("main form", &[("consent", "Names"), ("template", "legal_brief")]).await;
    walk.press("main form").await;
    walk.check("more-preview").await;
    walk.sign_in(&shelter_base, "worker").await;
    walk.go(&received_case).await;
    walk.fill("form[action$='/payments']", &[("amount", "12x")]).await;
    walk.press("form[action$='/payments']").await;
    walk.shows("is not an amount").await;
    let today = casemesh_node::clock::Clock::system().now().day().to_string();
    walk.fill("form[action$='/payments']", &[("amount", "1250.50"), ("paid", &today), ("note", "Deposit")]).await;
    walk.press("form[action$='/payments']").await;
    walk.shows("1250.50").await;
    walk.check("case-shelter").await;
    walk.go(&format!("{shelter_base}network")).await;
    walk.check("network").await;
    walk.press("a[href='/network/own']").await;
    let offer = [
        ("service", "safe_house"),
        ("capacity", "available"),
        ("min_age", "18"),
        ("description", "Women and children"),
    ];
    walk.fill("form[action='/network/own/offer']", &offer).await;
    walk.press("form[action='/network/own/offer']").await;
    walk.shows("has room (confirmed").await;
    walk.check("own-entry").await;
    walk.fill("form[action='/network/own']", &[("closed_until", "2020-01-01"), ("languages", "isiZulu, English")])
        .await;
    walk.press("form[action='/network/own']").await;
    walk.shows("This day is not after today.").await;
    walk.check("own-entry-problem").await;
    walk.go(&format!("{shelter_base}network")).await;
    walk.fill("form[action='/network/find']", &[("service", "safe_house"), ("words", "Test")]).await;
    walk.press("form[action='/network/find']").await;
    walk.shows("Who can help").await;
    walk.check("network-found").await;
    walk.press("form[action='/network/pack']:has(select)").await;
    walk.shows("Nothing waits to be carried there.").await;
    walk.check("network-problem").await;
    walk.go(&format!("{shelter_base}referrals")).await;
    walk.check("referrals").await;
    walk.press("main .card a[href^='/referrals/']").await;
    walk.fill("form:has(input[value='completed'])", &[("code", "service_given"), ("note", "Stayed two nights")]).await;
    walk.press("form:has(input[value='completed'])").await;
    walk.shows("Outcome reported").await;

    // Back at the sender: outcome, feedback, figures.
    walk.go(&referral_url).await;
    walk.reload_until("Stayed two nights").await;
    walk.fill("form:has(input[value='closed'])", &[("code", "satisfied"), ("note", "She is well")]).await;
    walk.press("form:has(input[value='closed'])").await;
    walk.shows("She is well").await;
    walk.check("referral-closed").await;
    walk.go(&advice_base).await;
    walk.shows("overdue").await;
    walk.check("home").await;

    // An office without Casemesh, asked on paper; what the client carries; a decision without consent.
    walk.go(&format!("{person_url}/consents/new")).await;
    let on_paper = [("outside", "Ugu Clinic"), ("scope", "names"), ("scope", "conflict_check")];
    walk.fill("main form", &on_paper).await;
    let how = [("expires", "2099-01-01"), ("language", "zu"), ("method", "signed_paper"), ("giver", "person")];
    walk.fill("main form", &how).await;
    walk.press("main form").await;
    walk.go(&format!("{case_url}/refer")).await;
    walk.fill("main form", &[("to", "Ugu Clinic"), ("consent", "Ugu Clinic"), ("service", "health")]).await;
    walk.fill("main form", &[("need", "A check-up"), ("how", "slip")]).await;
    walk.press("main form").await;
    walk.check("refer-outside-preview").await;
    walk.press("main form").await;
    let outside_url = walk.page.url().await.unwrap().unwrap();
    walk.check("referral-outside").await;
    for what in ["sheet", "card"] {
        walk.go(&outside_url).await;
        walk.press(&format!("form[action$='/carries'] button[value='{what}']")).await;
        walk.go(&format!("{outside_url}/carry")).await;
        walk.check(&format!("carry-{what}")).await;
    }
    // A file for that office, which any browser opens with digits, without us.
    walk.go(&format!("{outside_url}/letter")).await;
    walk.check("letter").await;
    let digits = value(&walk.page, "document.querySelector('[name=digits]').value").await;
    let digits = digits.as_str().unwrap().to_owned();
    let fetch = "fetch(location.href, { method: 'POST', body: new URLSearchParams(new FormData(document.querySelector('main form'))) }).then(r => r.text())";
    let file = value(&walk.page, fetch).await;
    let (file, disk) = (file.as_str().unwrap(), tempfile::tempdir().unwrap());
    assert!(["A check-up", "Ugu", "Nomvula", digits.as_str()].iter().all(|word| !file.contains(word)), "{file}");
    std::fs::write(disk.path().join("letter.html"), file).unwrap();
    walk.go(&format!("file://{}/letter.html", disk.path().display())).await;
    let wrong: String = digits.chars().rev().collect();
    for (typed, shown) in
        [(wrong, "These digits do not open it"), (format!(" {}", digits.replace('0', "٠")), "A check-up")]
    {
        value(&walk.page, &format!("(() => {{ document.querySelector('input').value = {typed:?}; document.querySelector('button').click(); return true; }})()")).await;
        walk.wait_until(shown).await;
        walk.check(if shown == "A check-up" { "letter-open" } else { "letter-wrong" }).await;
    }
    walk.shows("Nomvula").await;

    walk.go(&format!("{case_url}/override")).await;
    walk.press("main form").await;
    walk.check("override-problem").await;
    let decision = [("to", "Casa Amapola"), ("ground", "vital_interest"), ("scope", "names")];
    walk.fill("main form", &decision).await;
    walk.fill("main form", &[("reason", "She is unconscious in hospital")]).await;
    walk.press("main form").await;
    walk.shows("Life or health is in danger").await;
    walk.go(&case_url).await;
    walk.check("case-override").await;

    walk.go(&format!("{advice_base}cases")).await;
    walk.check("cases").await;
    walk.go(&format!("{advice_base}figures?from=2020-01-01&to={today}")).await;
    walk.check("figures").await;
    walk.press("a[href*='/figures/cases?']").await;
    walk.check("figures-cases").await;
    walk.go(&format!("{advice_base}tables")).await;
    walk.check("tables").await;
    let table = format!("{advice_base}tables/show?from=2020-01-01&to={today}");
    walk.go(&table).await;
    walk.check("table").await;
    walk.press("form[action='/tables/show'][method='post']").await;
    walk.shows("Last sent").await;
    walk.go(&table).await;
    walk.shows("Nothing has changed since the last table").await;
    walk.go(&format!("{advice_base}manual")).await;
    walk.check("manual").await;
    walk.sign_in(&collector_base, "worker").await;
    walk.go(&format!("{collector_base}collector")).await;
    walk.reload_until("Ugu Advice Office").await;
    walk.check("collector").await;
    walk.go(&format!("{case_url}/history")).await;
    walk.shows("Who looked, wrote or was refused").await;
    walk.check("history").await;
    walk.sign_in(&advice_base, "admin").await;
    walk.go(&format!("{advice_base}staff")).await;
    let auditor = [("sign_in", "auditor"), ("name", "Auditor"), ("roles", "auditor"), ("password", PASSWORD)];
    walk.fill("form[action='/staff']", &auditor).await;
    walk.press("form[action='/staff']").await;
    walk.shows("Auditor").await;
    walk.check("staff").await;
    walk.go(&format!("{advice_base}cases")).await;
    walk.shows("Your account may not do this").await;
    walk.check("denied").await;

    // A choice of the office's own, and a form with a field that chooses from a list.
    walk.go(&format!("{advice_base}lists")).await;
    walk.check("lists").await;
    walk.press("a[href='/lists/case_type']").await;
    walk.fill("section form", &[("label", "Mining dust"), ("explanation", "Illness that a mine left behind")]).await;
    walk.press("section form").await;
    walk.shows("Illness that a mine left behind").await;
    walk.check("list").await;
    walk.go(&format!("{advice_base}lists/import")).await;
    walk.press("main form").await;
    walk.shows("This cannot be used").await;
    walk.check("lists-import-problem").await;
    walk.go(&format!("{advice_base}forms")).await;
    walk.check("forms").await;
    walk.press("a[href='/forms/new']").await;
    let farm = [("title", "Farm visit"), ("1:label", "Farm"), ("2:label", "What it is about"), ("2:kind", "code")];
    walk.fill("main form", &farm).await;
    walk.press("main form").await;
    walk.shows("need another look").await;
    walk.check("form-edit-problem").await;
    walk.fill("main form", &[("2:list", "case_type")]).await;
    walk.press("main form").await;
    walk.shows("Mining dust").await;
    walk.check("form-print-own").await;

    // A second person approves the account; a second factor, a PIN, and an emergency that opens nothing.
    walk.sign_in(&advice_base, "worker").await;
    walk.go(&case_url).await;
    walk.press("a[href$='/entries/own_farm_visit']").await;
    walk.fill("main form", &[("own_farm", "Rose Hill"), ("own_what_it_is_about", "eviction")]).await;
    walk.check("entry-own").await;
    walk.press("main form").await;
    walk.shows("Rose Hill").await;
    walk.go(&advice_base).await;
    walk.shows("Account of").await;
    walk.check("home-request").await;
    walk.press("form[action^='/requests/'] button[value='on']").await;
    walk.check("requests").await;
    walk.go(&format!("{advice_base}account")).await;
    walk.fill("form[action='/account/pin']", &[("pin", "123456"), ("current", PASSWORD)]).await;
    walk.press("form[action='/account/pin']").await;
    walk.shows("Others would guess this PIN first").await;
    walk.check("account-problem").await;
    walk.fill("form[action='/account/pin']", &[("pin", "194736"), ("current", PASSWORD)]).await;
    walk.press("form[action='/account/pin']").await;
    walk.press("form[action='/account/factor/new']").await;
    walk.check("factor").await;
    let secret = value(&walk.page, "document.querySelector('.secret').textContent").await;
    let secret = casemesh_crypto::factor::FactorSecret::from_base32(secret.as_str().unwrap()).unwrap();
    let code = secret.code(casemesh_node::clock::Clock::system().now().ms() / 1000);
    walk.fill("form[action='/account/factor']", &[("code", &code), ("current", PASSWORD)]).await;
    walk.press("form[action='/account/factor']").await;
    walk.check("factor-codes").await;
    let codes = value(&walk.page, "[...document.querySelectorAll('.codes li')].map(e => e.textContent)").await;
    walk.go(&format!("{advice_base}emergency")).await;
    let printed = codes[0].as_str().unwrap();
    walk.fill("main form", &[("number", "TST-2026-0000"), ("reason", "He is at her door"), ("code", printed)]).await;
    walk.press("main form").await;
    walk.shows("No case opens under this number").await;
    walk.check("emergency").await;
    // The computer is handed over in the midst of a sentence, and comes back with it.
    walk.go(&case_url).await;
    walk.fill("form[action$='/actions']", &[("text", "She says that on Monday")]).await;
    walk.press("form[action='/switch']").await;
    walk.shows("Who goes on?").await;
    walk.check("pin").await;
    walk.fill("main form", &[("pin", "000000")]).await;
    walk.press("main form").await;
    walk.shows("That PIN is not right").await;
    walk.fill("main form", &[("pin", "194736")]).await;
    walk.press("main form").await;
    walk.shows("She says that on Monday").await;
    walk.press("form[action$='/drop']").await;
    // From here on the worker's sign-in asks for the code as well: it is taken away again.
    walk.go(&format!("{advice_base}account")).await;
    walk.check("account").await;
    walk.fill("form[action='/account/factor/drop']", &[("code", codes[1].as_str().unwrap())]).await;
    walk.press("form[action='/account/factor/drop']").await;

    // The case is handed over whole, and read here from then on: nothing else of it may be under way.
    walk.go(&outside_url).await;
    walk.fill("form:has(input[value='withdrawn'])", &[("code", "need_solved")]).await;
    walk.press("form:has(input[value='withdrawn'])").await;
    walk.go(&format!("{person_url}/consents/new")).await;
    let whole = [("purpose", "share_for_transfer"), ("recipients", "Casa Amapola"), ("scope", "names")];
    walk.fill("main form", &whole).await;
    let rest = [("scope", "case_brief"), ("scope", "case_notes"), ("scope", "money"), ("scope", "conflict_check")];
    walk.fill("main form", &rest).await;
    walk.fill("main form", &how).await;
    walk.press("main form").await;
    walk.go(&format!("{case_url}/refer")).await;
    let hand_over = [("to", "Casa Amapola"), ("consent", "Hand the case over"), ("service", "legal_assistance")];
    walk.fill("main form", &hand_over).await;
    walk.fill("main form", &[("transfer", "on"), ("need", "She moved to your district")]).await;
    walk.press("main form").await;
    walk.check("transfer-preview").await;
    walk.press("main form").await;
    walk.shows("The whole case is handed over").await;
    let transfer_url = walk.page.url().await.unwrap().unwrap();
    walk.sign_in(&shelter_base, "worker").await;
    walk.go(&format!("{shelter_base}referrals")).await;
    walk.reload_until("Legal assistance").await;
    walk.press("main .card a[href^='/referrals/']").await;
    walk.check("transfer-received").await;
    walk.press("form:has(input[value='accepted'])").await;
    walk.reload_until("Case taken over").await;
    walk.check("transfer-taken").await;
    walk.sign_in(&advice_base, "worker").await;
    walk.go(&transfer_url).await;
    walk.reload_until("Case taken over").await;
    walk.go(&case_url).await;
    walk.shows("It can be read here and changed only there").await;
    walk.check("case-handed-over").await;

    // Whose password somebody else chose chooses another before everything else.
    walk.sign_in(&advice_base, "auditor").await;
    walk.shows("Somebody else chose your password").await;
    walk.check("account-first").await;
    walk.fill("form[action='/account/password']", &[("current", PASSWORD), ("password", OWN_PASSWORD)]).await;
    walk.press("form[action='/account/password']").await;
    walk.go(&format!("{advice_base}log")).await;
    walk.press("form[action='/log'][method='post']").await;
    walk.shows("entries in one unbroken chain").await;
    walk.check("log").await;

    // In the other languages, Arabic right to left.
    walk.sign_in(&advice_base, "worker").await;
    for (language, dir) in [("es", "ltr"), ("fr", "ltr"), ("sw", "ltr"), ("ar", "rtl")] {
        walk.go(&referral_url).await;
        walk.press(&format!("button[name='language'][value='{language}']")).await;
        assert_eq!(value(&walk.page, "document.documentElement.dir").await, dir);
        for (path, name) in [
            ("", "home"),
            ("register", "register"),
            ("find", "find"),
            ("cases", "cases"),
            ("tasks", "tasks"),
            ("office/entries/activity", "activity"),
            ("referrals", "referrals"),
            ("figures", "figures"),
            ("account", "account"),
            ("emergency", "emergency"),
            ("requests", "requests"),
            ("manual", "manual"),
            ("lists/incident_kind", "list"),
            ("forms", "forms"),
            ("review", "review"),
            ("places", "places"),
        ] {
            walk.go(&format!("{advice_base}{path}")).await;
            walk.check(&format!("{name}-{language}")).await;
        }
        for (url, name) in [(&person_url, "person"), (&case_url, "case"), (&referral_url, "referral")] {
            walk.go(url).await;
            walk.check(&format!("{name}-{language}")).await;
        }
    }

    // Languages of which the first pages are there: the mechanism carries their scripts.
    for language in ["am", "km", "my", "ne", "th", "vi"] {
        walk.go(&advice_base).await;
        walk.press(&format!("button[name='language'][value='{language}']")).await;
        assert_eq!(value(&walk.page, "document.documentElement.lang").await, language);
        for (path, name) in [("", "home"), ("find", "find")] {
            walk.go(&format!("{advice_base}{path}")).await;
            walk.check(&format!("{name}-{language}")).await;
        }
    }
    // A letter without a node, answered on paper.
    walk.go(&format!("{advice_base}referrals/book-in")).await;
    walk.press("main form").await;
    walk.check("book-in-problem").await;
    let letter =
        [("from", "Magistrate's court"), ("service", "safe_house"), ("need", "A place for two"), ("reference", "DV 1")];
    walk.fill("main form", &letter).await;
    walk.press("main form").await;
    walk.shows("DV 1").await;
    let booked_url = walk.page.url().await.unwrap().unwrap();

    // The pages behind the first ones, in three scripts.
    for language in ["en", "ar", "my"] {
        walk.go(&advice_base).await;
        walk.press(&format!("button[name='language'][value='{language}']")).await;
        for (path, name) in [
            (person_url.clone(), "person"),
            (case_url.clone(), "case"),
            (referral_url.clone(), "referral"),
            (format!("{person_url}/change"), "person-form"),
            (format!("{person_url}/consents/new"), "consent-form"),
            (format!("{person_url}/history"), "person-history"),
            (format!("{person_url}/view"), "hers"),
            (format!("{person_url}/cases/new"), "case-form"),
            (format!("{case_url}/edit"), "case-edit"),
            (format!("{case_url}/history"), "case-history"),
            (format!("{case_url}/entries/journey"), "entry"),
            (format!("{advice_base}register?day=2026-01-01"), "register-day"),
            (format!("{advice_base}blank/register"), "blank-register"),
            (format!("{advice_base}blank/consent"), "blank-consent"),
            (format!("{advice_base}referrals/book-in"), "book-in"),
            (format!("{advice_base}referrals/by-code"), "by-code"),
            (format!("{booked_url}/slip"), "slip"),
            (booked_url.clone(), "referral-outside"),
            (format!("{advice_base}settings/history"), "denied"),
        ] {
            walk.go(&path).await;
            walk.check(&format!("{name}-{language}")).await;
        }
        walk.go(&format!("{advice_base}tasks")).await;
        walk.press("a[href^='/tasks/']").await;
        walk.check(&format!("task-{language}")).await;
    }
    walk.sign_in(&advice_base, "admin").await;
    walk.go(&format!("{advice_base}settings/history")).await;
    walk.check("settings-history").await;

    // Signed out, the way back shows nothing.
    walk.press("form[action='/sign-out']").await;
    walk.go(&case_url).await;
    assert!(!walk.text().await.contains("Nomvula"));
    walk.close().await;
    for served in [advice_served, shelter_served, collector_served] {
        served.stop().await.unwrap();
    }
}
