//! Every operation of the API and every page, by every role, on a case of one's own, a colleague's, a colleague's that is
//! for them alone, one whose client has the asker on the conflict list, one under emergency access, and one of a team. The operations
//! are read from the OpenAPI document, the pages from the routes: one that is not in the table makes the test fail.

use crate::harness::{PASSWORD, TestNode, hire, new_node};
use casemesh::serve::Served;
use casemesh_node::node::Knock;
use casemesh_node::office::{
    ActionInput, CaseChange, CaseInput, DecisionInput, Desk, DocumentInput, FieldInput, GlassInput, PersonInput,
    RegisterInput,
};
use casemesh_node::records::StaffRole;
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::{RecordId, StaffId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What belongs to a case: its person, an entry, and a task.
struct Place {
    case: RecordId,
    person: RecordId,
    entry: RecordId,
    task: RecordId,
    document: RecordId,
    /// A line of the register that became the case, and the account of whoever works on it.
    line: RecordId,
    account: StaffId,
}

/// May the role, may it not, or is there nothing for it?
fn answer_of(status: u16) -> &'static str {
    match status {
        200..=399 | 409 | 415 | 422 => "yes",
        403 => "no",
        404 => "absent",
        other => panic!("status {other}"),
    }
}

/// What is sent to the API: enough that the desk is asked, not more.
fn body_of(operation: &str, place: &Place, owner: StaffId, other: StaffId) -> Value {
    match operation {
        "put /api/v1/people/{id}" => json!({ "revision": 1, "person": { "identity": "anonymous" } }),
        "put /api/v1/cases/{id}" => json!({ "revision": 0, "clients": [place.person] }),
        "put /api/v1/tasks/{id}" => json!({ "due": "2099-01-01" }),
        "post /api/v1/tasks" => json!({ "title": "x", "due": "2099-01-01" }),
        "post /api/v1/staff/hand-over" => json!({ "from": other, "to": owner }),
        "post /api/v1/people" => json!({ "identity": "anonymous" }),
        "post /api/v1/people/search" => json!({ "text": "Others" }),
        "post /api/v1/cases" => json!({ "clients": [place.person] }),
        "post /api/v1/cases/{id}/state" => json!({ "state": "resolved" }),
        "post /api/v1/cases/{id}/owner" => json!({ "owner": owner }),
        "post /api/v1/cases/{id}/assigned" => json!({ "staff": [] }),
        "post /api/v1/cases/{id}/payments" => json!({ "kind": "claimed", "amount": "1", "currency": "ZAR" }),
        "post /api/v1/cases/{id}/tasks" => json!({ "title": "x", "due": "2099-01-01" }),
        "post /api/v1/tasks/{id}/settle" => json!({ "state": "done" }),
        "post /api/v1/samples/{id}/answer" => json!({ "takes_part": true }),
        "post /api/v1/tables" | "post /api/v1/collected" => json!({ "from": "2026-01-01", "to": "2026-12-31" }),
        "post /api/v1/tables/finished" | "post /api/v1/tables/finished/send" => {
            json!({ "from": "2026-01-01", "to": "2026-12-31", "table": "" })
        }
        "post /api/v1/lists/{list}/{code}/cases" => json!({ "cases": [] }),
        "post /api/v1/lists/{list}/{code}/cases/search" => json!({ "words": "x" }),
        "post /api/v1/staff" => json!({ "sign_in": "", "name": "", "roles": [], "password": "", "unlocks": false }),
        operation if operation.ends_with("/erasure") => json!({ "reason": "" }),
        operation if operation.ends_with("/reset-password") => json!({ "password": "" }),
        "post /api/v1/network/listings" => json!({ "file": "x" }),
        "post /api/v1/network/newcomer" | "post /api/v1/network/members" => json!({ "card": "" }),
        "post /api/v1/list-imports" => json!({ "mapping": "", "file": "", "dry_run": true }),
        "post /api/v1/imports" => json!({ "mapping": "", "table": "", "dry_run": true }),
        operation if ["/merge", "/unmerge", "/different"].iter().any(|end| operation.ends_with(end)) => {
            json!({ "other": "09".repeat(16) })
        }
        "post /api/v1/cases/{id}/grants" => json!({ "grants": [] }),
        "post /api/v1/cases/{id}/links" => json!({ "number": "x", "why": "other" }),
        "post /api/v1/tasks/{id}/resolve" => json!({ "resolution": "x" }),
        operation if operation.ends_with("bar") => json!({ "staff": other }),
        operation if operation.ends_with("/close") => json!({ "reason": "resolved" }),
        operation if operation.ends_with("/turn-away") => json!({ "reason": "no_capacity" }),
        operation if operation.ends_with("/actions") || operation.ends_with("/entries") => json!({ "text": "x" }),
        operation if operation.ends_with("/review") => json!({ "finding": "x" }),
        operation if operation.ends_with("/carries") => json!({ "carries": "card" }),
        operation if operation.ends_with("/steps") => json!({ "step": "accepted" }),
        _ => json!({}),
    }
}

/// The pages: method and path, as the routes name them.
fn pages() -> BTreeSet<(String, String)> {
    let mut pages = BTreeSet::new();
    let files = std::fs::read_dir("web/src/pages").unwrap().map(|file| file.unwrap().path());
    for file in files.chain(["web/src/documents.rs".into()]) {
        let source = std::fs::read_to_string(file).unwrap();
        for route in source.split(".route(\"").skip(1) {
            let (path, handlers) = route.split_once('"').unwrap();
            let handlers = handlers.lines().next().unwrap();
            // The API's are in its document.
            if path.starts_with("/api/") {
                continue;
            }
            // A form with a file goes the way of the API's plain body.
            let with_file =
                ["/cases/{id}/documents", "/lists/import", "/network/bring", "/network/newcomer", "/network/services"]
                    .contains(&path)
                    || ["/tables/finished", "/areas"].contains(&path);
            let methods = if with_file { &["get"][..] } else { &["get", "post"] };
            for method in methods.iter().filter(|method| handlers.contains(&format!("{method}("))) {
                pages.insert(((*method).to_owned(), path.to_owned()));
            }
        }
    }
    assert!(pages.len() > 60, "{}", pages.len());
    pages
}

/// Pages that have no case and no role in them: the door, and the language.
const DOOR: &[&str] = &["/sign-in", "/sign-out", "/away", "/lock", "/switch", "/pin", "/language"];

/// What is sent to every page.
const FORM: &str = "text=x&title=x&due=2099-01-01&kind=to_do&q=x&other=09090909090909090909090909090909&state=resolved&identity=anonymous&finding=x&comment=x&resolution=x";

struct Asker<'a> {
    runtime: &'a tokio::runtime::Runtime,
    http: reqwest::Client,
    base: String,
    cookie: String,
}

impl Asker<'_> {
    fn call(&self, method: &str, path: &str, token: &str, body: &Value) -> u16 {
        let method: reqwest::Method = method.to_uppercase().parse().unwrap();
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base)).bearer_auth(token);
        if method != reqwest::Method::GET {
            request = request.json(body);
        }
        self.runtime.block_on(request.send()).unwrap().status().as_u16()
    }

    fn page(&self, method: &str, path: &str, token: &str, form: &str) -> u16 {
        let method: reqwest::Method = method.to_uppercase().parse().unwrap();
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        request = request.header("cookie", format!("{}={token}", self.cookie));
        if method != reqwest::Method::GET {
            request = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
        }
        let response = self.runtime.block_on(request.send()).unwrap();
        let to = response.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or_default();
        assert!(!to.starts_with("/sign-in"), "{method} {path}");
        response.status().as_u16()
    }
}

fn is_about_a_case(path: &str) -> bool {
    ["/cases/{id}", "/people/{id}", "/tasks/{id}", "/register/{id}"].iter().any(|part| path.contains(part))
}

fn address(path: &str, place: &Place) -> String {
    let id = match path.trim_start_matches("/api/v1").split('/').nth(1) {
        Some("people") => place.person.to_string(),
        Some("tasks") => place.task.to_string(),
        Some("cases") => place.case.to_string(),
        Some("register") => place.line.to_string(),
        Some("staff") if path.ends_with("/history") => place.account.to_string(),
        Some("drafts") => "09".repeat(32),
        _ => RecordId::new([9; 16]).to_string(),
    };
    let form = if path.starts_with("/people") { "relation" } else { "incident" };
    let form = if path.starts_with("/office") { "activity" } else { form };
    path.replace("{id}", &id)
        .replace("{consent}", &"09".repeat(16))
        .replace("{entry}", &place.entry.to_string())
        .replace("{document}", &place.document.to_string())
        .replace("{version}", "1")
        .replace("{number}", "1")
        .replace("{link}", &"09".repeat(16))
        .replace("{other}", &"09".repeat(16))
        .replace("{session}", &"09".repeat(8))
        .replace("{form}", form)
        .replace("{list}", "case_type")
        .replace("{figure}", "opened")
        .replace("{case}", &"09".repeat(16))
}

/// Sets a second factor up and takes emergency access with one of its printed codes.
fn break_glass(desk: &Desk, number: &str) {
    let new = desk.new_factor();
    let secret = casemesh_crypto::factor::FactorSecret::from_base32(&new.secret).unwrap();
    let now = casemesh_node::clock::Clock::system().now().ms() / 1000;
    let codes = desk.set_factor(&new.secret, &secret.code(now), PASSWORD).unwrap();
    let input = GlassInput { number: number.into(), reason: "She is in danger".into(), code: codes[0].clone() };
    desk.break_glass(&input).unwrap();
}

#[test]
fn the_matrix_of_operations_roles_and_relations() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut new = new_node("Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]);
    new.small_office = false;
    let node = TestNode::new(&new);
    let served = runtime.block_on(Served::start(node.to_serve())).unwrap();
    let desk = |name: &str| {
        let token = served.node.sign_in(&Knock::new(name, PASSWORD, "test")).unwrap();
        (served.node.desk(&token).unwrap(), token)
    };
    let (admin, _) = desk("admin");
    let (lead, _) = desk("worker");
    let roles: Vec<StaffRole> = StaffRole::ALL.to_vec();
    let mut auditor = StaffId::new([0; 16]);
    let mates: Vec<String> = roles.iter().map(|role| format!("{role}_in_a_team")).collect();
    let others = ["colleague", "teammate"].into_iter().chain(mates.iter().map(String::as_str));
    for role in roles.iter().map(|role| role.as_str()).chain(others) {
        let role_of = match role {
            "colleague" | "teammate" => "caseworker",
            mate => mate.trim_end_matches("_in_a_team"),
        };
        let staff = hire(&served.node, &admin, &lead, role, role_of, false);
        if role == "auditor" {
            auditor = staff;
        }
        if role == "teammate" || role.ends_with("_in_a_team") {
            assert!(admin.change_team(staff, "North").unwrap(), "a second person approves what widens");
            let open = lead.requests().unwrap().into_iter().find(|request| request.may_decide).unwrap();
            lead.decide(open.id, &DecisionInput { approved: true, ..DecisionInput::default() }).unwrap();
        }
    }
    let (colleague, _) = desk("colleague");
    let place = |desk: &Desk, name: &str, sealed: bool| {
        let given = FieldInput { state: "known".into(), value: name.into() };
        let person = desk
            .register_person(PersonInput { identity: "self_declared".into(), given, ..PersonInput::default() })
            .unwrap();
        let input =
            CaseInput { sealed, next_action: name.into(), next_due: "2099-01-01".into(), ..CaseInput::default() };
        let case = desk.open_case(vec![person], input).unwrap();
        let entry = desk.add_action(case, &ActionInput { text: "A note".into(), ..ActionInput::default() }).unwrap();
        let task = desk.case(case).unwrap().tasks[0].id;
        let file = DocumentInput { name: "letter.txt".into(), ..DocumentInput::default() };
        let document = desk.add_document(case, &file, b"A letter".to_vec()).unwrap();
        let line = desk.add_line(RegisterInput { visitor: name.into(), ..RegisterInput::default() }).unwrap();
        let visit = desk.line_to_case(line, Some(person)).unwrap();
        if sealed {
            let revision = desk.case(visit).unwrap().revision;
            desk.change_case_details(
                visit,
                &CaseChange { revision, sealed, clients: vec![person], ..CaseChange::default() },
            )
            .unwrap();
        }
        Place { case, person, entry, task, document, line, account: desk.staff() }
    };
    let (others, hidden) = (place(&colleague, "Others", false), place(&colleague, "Hidden", true));
    let document: Value = serde_json::from_str(&casemesh_web::openapi()).unwrap();
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let asker = Asker {
        runtime: &runtime,
        http,
        base: format!("http://{}", served.address),
        cookie: casemesh_web::session_cookie(&served.node),
    };
    let mut table: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for role in &roles {
        let (theirs, token) = desk(role.as_str());
        let own = place(&lead, role.as_str(), false);
        // Nobody is responsible for a case who does not work with cases.
        let works = matches!(role, StaffRole::Caseworker | StaffRole::Supervisor | StaffRole::Volunteer);
        assert_eq!(lead.assign_case(own.case, theirs.staff()).is_ok(), works, "{role}");
        let barred = place(&colleague, &format!("Barred {role}"), false);
        lead.bar(barred.person, theirs.staff()).unwrap();
        let glass = place(&colleague, &format!("Glass {role}"), true);
        if matches!(role, StaffRole::Caseworker | StaffRole::Supervisor) {
            break_glass(&theirs, &colleague.case(glass.case).unwrap().summary.number);
        }
        let (in_team, team_token) = desk(&format!("{role}_in_a_team"));
        let (teammate, _) = desk("teammate");
        let team = place(&teammate, &format!("Team {role}"), false);
        drop((in_team, teammate));
        let relations = [
            ("own", &own),
            ("other", &others),
            ("hidden", &hidden),
            ("barred", &barred),
            ("emergency", &glass),
            // A teammate's, and one that is outside the team, by somebody who works in a team.
            ("team", &team),
            ("outside_the_team", &others),
        ];
        let token_of = |relation: &str| if relation.ends_with("team") { team_token.clone() } else { token.clone() };
        let mut note = |operation: String, path: &str, relation: &str, status: u16| {
            let name = if is_about_a_case(path) { format!("{operation} {relation}") } else { operation };
            table.entry(name).or_default().push(format!("{role}={}", answer_of(status)));
        };
        for (path, methods) in document["paths"].as_object().unwrap() {
            if path.ends_with("/sign-in") || path.ends_with("/sign-out") {
                continue;
            }
            for method in methods.as_object().unwrap().keys() {
                for (relation, place) in relations.into_iter().take(if is_about_a_case(path) { 7 } else { 1 }) {
                    let mut url = address(path, place);
                    let of_days = ["/figures", "/figures/report", "/tables", "/collected", "/review"];
                    if of_days.iter().any(|end| path.ends_with(end)) {
                        url.push_str("?from=2026-01-01&to=2026-12-31");
                    } else if path.ends_with("/figures/time") {
                        url.push_str("?from=2026-01-01&to=2026-12-31&figure=opened");
                    } else if path.ends_with("/by-code") {
                        url.push_str("?code=x");
                    }
                    // Nobody comes by a case in passing: it is given to whom it belongs to.
                    let owner = if relation == "own" { theirs.staff() } else { colleague.staff() };
                    let body = body_of(&format!("{method} {path}"), place, owner, auditor);
                    note(
                        format!("{method} {path}"),
                        path,
                        relation,
                        asker.call(method, &url, &token_of(relation), &body),
                    );
                }
            }
        }
        for (method, path) in pages().iter().filter(|(_, path)| !DOOR.contains(&path.as_str())) {
            for (relation, place) in relations.into_iter().take(if is_about_a_case(path) { 7 } else { 1 }) {
                let owner = if relation == "own" { theirs.staff() } else { colleague.staff() };
                let form = format!("owner={owner}&staff={auditor}&from={auditor}&to={auditor}&{FORM}");
                note(
                    format!("{method} {path}"),
                    path,
                    relation,
                    asker.page(method, &address(path, place), &token_of(relation), &form),
                );
            }
        }
    }
    let found: String = table.iter().map(|(name, answers)| format!("{name}: {}\n", answers.join(" "))).collect();
    let expected = include_str!("matrix.txt");
    if found != expected {
        std::fs::write("target/matrix.txt", &found).unwrap();
    }
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected, "the whole table as found lies in target/matrix.txt");
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "the whole table as found lies in target/matrix.txt");
    drop((admin, lead, colleague));
    runtime.block_on(served.stop()).unwrap();
}
