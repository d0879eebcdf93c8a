//! Every operation of the API, by every role, on one's own case, a colleague's, and a colleague's that is for them alone.
//! The operations are read from the OpenAPI document: one that is not in the table makes the test fail.

use crate::harness::{PASSWORD, TestNode, new_node};
use casemesh::serve::Served;
use casemesh_node::office::{ActionInput, CaseInput, FieldInput, PersonInput, StaffInput, TaskFilter};
use casemesh_node::records::StaffRole;
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::{RecordId, StaffId};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What belongs to a case: its person, and a task.
struct Place {
    case: RecordId,
    person: RecordId,
    task: RecordId,
}

/// May the role, may it not, or is there nothing for it?
fn answer_of(status: u16) -> &'static str {
    match status {
        200..=299 | 409 | 415 | 422 => "yes",
        403 => "no",
        404 => "absent",
        other => panic!("status {other}"),
    }
}

/// What is sent: enough that the desk is asked, not more.
fn body_of(operation: &str, place: &Place, owner: StaffId) -> Value {
    match operation {
        "put /api/v1/people/{id}" => json!({ "revision": 1, "person": { "identity": "anonymous" } }),
        "post /api/v1/people" => json!({ "identity": "anonymous" }),
        "post /api/v1/people/search" => json!({ "text": "Others" }),
        "post /api/v1/cases" => json!({ "clients": [place.person] }),
        "post /api/v1/cases/{id}/state" => json!({ "state": "resolved" }),
        "post /api/v1/cases/{id}/owner" => json!({ "owner": owner }),
        "post /api/v1/cases/{id}/payments" => json!({ "kind": "claimed", "amount": "1", "currency": "ZAR" }),
        "post /api/v1/cases/{id}/tasks" => json!({ "title": "x", "due": "2099-01-01" }),
        "post /api/v1/tasks/{id}/settle" => json!({ "state": "done" }),
        "post /api/v1/tables" => json!({ "from": "2026-01-01", "to": "2026-12-31" }),
        "post /api/v1/staff" => json!({ "sign_in": "", "name": "", "roles": [], "password": "", "unlocks": false }),
        "post /api/v1/imports" => json!({ "mapping": "", "table": "", "dry_run": true }),
        operation if operation.ends_with("/close") => json!({ "reason": "resolved" }),
        operation if operation.ends_with("/turn-away") => json!({ "reason": "no_capacity" }),
        operation if operation.ends_with("/actions") || operation.ends_with("/entries") => json!({ "text": "x" }),
        operation if operation.ends_with("/steps") => json!({ "step": "accepted" }),
        _ => json!({}),
    }
}

async fn call(base: &str, token: &str, method: &str, path: &str, body: &Value) -> u16 {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let method: reqwest::Method = method.to_uppercase().parse().unwrap();
    let url = format!("{base}{path}");
    let mut request = http.request(method.clone(), &url).bearer_auth(token);
    if method != reqwest::Method::GET {
        request = request.json(body);
    }
    request.send().await.unwrap().status().as_u16()
}

#[test]
fn the_matrix_of_operations_roles_and_relations() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut new = new_node("Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]);
    new.small_office = false;
    let node = TestNode::new(&new);
    let served = runtime.block_on(Served::start(node.folder.path())).unwrap();
    let desk = |name: &str| {
        let token = served.node.sign_in(name, PASSWORD, "test").unwrap();
        (served.node.desk(&token).unwrap(), token)
    };
    let (admin, _) = desk("admin");
    let (lead, _) = desk("worker");
    let roles: Vec<StaffRole> = StaffRole::ALL.to_vec();
    for role in roles.iter().map(|role| role.as_str()).chain(["colleague"]) {
        let input = StaffInput {
            sign_in: role.into(),
            name: role.into(),
            roles: vec![if role == "colleague" { "caseworker".into() } else { role.into() }],
            password: PASSWORD.into(),
            unlocks: false,
        };
        admin.add_staff(&input, casemesh_crypto::passphrase::Cost::FLOOR).unwrap();
    }
    let (colleague, _) = desk("colleague");
    let place = |desk: &casemesh_node::office::Desk, name: &str, sealed: bool| {
        let given = FieldInput { state: "known".into(), value: name.into() };
        let person = desk
            .register_person(PersonInput { identity: "self_declared".into(), given, ..PersonInput::default() })
            .unwrap();
        let input =
            CaseInput { sealed, next_action: name.into(), next_due: "2099-01-01".into(), ..CaseInput::default() };
        let case = desk.open_case(vec![person], input).unwrap();
        desk.add_action(case, &ActionInput { text: "A note".into(), ..ActionInput::default() }).unwrap();
        let (tasks, _) = desk.tasks(&TaskFilter::default()).unwrap();
        let task = tasks.into_iter().find(|task| task.case == Some(case)).unwrap().id;
        Place { case, person, task }
    };
    let (others, hidden) = (place(&colleague, "Others", false), place(&colleague, "Hidden", true));
    let document: Value = serde_json::from_str(&casemesh_web::openapi()).unwrap();
    let base = format!("http://{}", served.address);
    let mut table: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for role in &roles {
        let (theirs, token) = desk(role.as_str());
        let own = place(&lead, role.as_str(), false);
        lead.assign_case(own.case, theirs.staff()).unwrap();
        for (path, methods) in document["paths"].as_object().unwrap() {
            if path.ends_with("/sign-in") || path.ends_with("/sign-out") {
                continue;
            }
            for method in methods.as_object().unwrap().keys() {
                let relations = [("own", &own), ("other", &others), ("hidden", &hidden)];
                let depends = ["/cases/{id}", "/people/{id}", "/tasks/{id}"].iter().any(|part| path.contains(part));
                for (relation, place) in relations.into_iter().take(if depends { 3 } else { 1 }) {
                    let id = match path.split('/').nth(3) {
                        Some("people") => place.person,
                        Some("tasks") => place.task,
                        Some("cases") => place.case,
                        _ => RecordId::new([9; 16]),
                    };
                    let mut url = path.replace("{id}", &id.to_string()).replace("{consent}", &"09".repeat(16));
                    if path.ends_with("/figures") || path.ends_with("/tables") || path.ends_with("/collected") {
                        url.push_str("?from=2026-01-01&to=2026-12-31");
                    }
                    // Nobody comes by a case in passing: it is given to whom it belongs to.
                    let owner = if relation == "own" { theirs.staff() } else { colleague.staff() };
                    let body = body_of(&format!("{method} {path}"), place, owner);
                    let status = runtime.block_on(call(&base, &token, method, &url, &body));
                    let name = if depends { format!("{method} {path} {relation}") } else { format!("{method} {path}") };
                    table.entry(name).or_default().push(format!("{role}={}", answer_of(status)));
                }
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
