//! Raw HTTP against a node's pages: what is refused, and what stands on every answer.

use crate::harness::{FIRST_PASSWORD, PASSWORD, TestNode, new_node};
use casemesh::serve::Served;
use casemesh_protocol::directory::{OfficeKind, Role};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<String> {
        let name = format!("{}:", name.to_lowercase());
        self.head
            .lines()
            .find(|line| line.to_lowercase().starts_with(&name))
            .map(|line| line[name.len()..].trim().to_owned())
    }
}

fn send(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn with_pages(test: impl FnOnce(&str)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = TestNode::new(&new_node("Office <b>&", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    let served = runtime.block_on(Served::start(node.to_serve())).unwrap();
    test(&served.address.to_string());
    runtime.block_on(served.stop()).unwrap();
}

#[test]
fn a_practice_node_is_marked_and_joins_no_network() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut new = new_node("School", OfficeKind::AdviceOffice, vec![Role::Office], vec![]);
    new.config.practice = true;
    let node = TestNode::new(&new);
    let other = TestNode::new(&new_node("Real", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    let served = runtime.block_on(Served::start(node.to_serve())).unwrap();
    let address = served.address.to_string();
    let network = crate::harness::network(&[&node, &other]);
    assert!(matches!(served.node.join(&network), Err(casemesh_node::node::NodeError::Practice)));
    assert!(send(&address, "GET", "/sign-in", &[], "").body.contains("Practice node"));
    let cookie = sign_in(&address);
    let manual = send(&address, "GET", "/manual", &[("Cookie", &cookie)], "").body;
    assert!(manual.contains("Exercises") && manual.contains("Practice node"));
    runtime.block_on(served.stop()).unwrap();
}

fn sign_in(address: &str) -> String {
    sign_in_as(address, "worker")
}

fn sign_in_as(address: &str, name: &str) -> String {
    let form = format!("name={name}&password={}&then=/", PASSWORD.replace(' ', "+"));
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = send(address, "POST", "/sign-in", &kind, &form);
    assert_eq!(answer.status, 303, "{}", answer.body);
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["__Host-sid-", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn foreign_hosts_and_foreign_sites_are_refused() {
    with_pages(|address| {
        for path in ["/", "/sign-in", "/api/v1/home", "/nothing"] {
            assert_eq!(send(address, "GET", path, &[("Host", "evil.test")], "").status, 421, "{path}");
        }
        let cookie = sign_in(address);
        let own = format!("http://{address}");
        let post = |headers: &[(&str, &str)]| {
            let mut all = vec![("Cookie", cookie.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
            all.extend(headers);
            send(address, "POST", "/register", &all, "visitor=x").status
        };
        assert_eq!(post(&[("Origin", &own), ("Sec-Fetch-Site", "same-origin")]), 303);
        assert_eq!(post(&[("Sec-Fetch-Site", "cross-site")]), 403);
        assert_eq!(post(&[("Sec-Fetch-Site", "same-site")]), 403);
        assert_eq!(post(&[("Origin", "http://evil.test")]), 403);
        assert_eq!(post(&[("Origin", "null")]), 403);
    });
}

#[test]
fn every_answer_carries_the_security_headers_and_is_not_kept() {
    with_pages(|address| {
        let cookie = sign_in(address);
        for (method, path, status) in [
            ("GET", "/", 200),
            ("GET", "/cases/00000000000000000000000000000000", 404),
            ("GET", "/cases/nonsense", 400),
            ("GET", "/nothing", 404),
            ("DELETE", "/", 405),
            ("GET", "/api/v1/home", 401),
        ] {
            let answer = send(address, method, path, &[("Cookie", &cookie)], "");
            assert_eq!(answer.status, status, "{method} {path}");
            let csp = answer.header("content-security-policy").unwrap();
            assert!(csp.contains("default-src 'none'") && csp.contains("require-trusted-types-for 'script'"), "{path}");
            assert!(!csp.contains("unsafe"), "{csp}");
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(answer.header(name).as_deref(), Some(value), "{method} {path} {name}");
            }
        }
        let style = send(address, "GET", "/a/x/style.css", &[], "");
        assert!(style.header("cache-control").unwrap().contains("immutable"));
    });
}

#[test]
fn what_was_typed_survives_the_end_of_the_session_and_wrong_input() {
    with_pages(|address| {
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        let kept = send(address, "POST", "/register", &[kind], "visitor=Gogo+Maria&note=%22quoted%22+%3Cb%3E");
        assert_eq!(kept.status, 401);
        assert!(kept.body.contains("name=\"kept:visitor\" value=\"Gogo Maria\""), "{}", kept.body);
        assert!(!kept.body.contains("<b>"), "escaped");
        let form =
            format!("name=worker&password={}&then=/register&kept:visitor=Gogo+Maria", PASSWORD.replace(' ', "+"));
        let resumed = send(address, "POST", "/sign-in", &[kind], &form);
        assert_eq!(resumed.status, 200);
        assert!(resumed.body.contains("action=\"/register\"") && resumed.body.contains("Gogo Maria"));

        let cookie = sign_in(address);
        let wrong = send(address, "POST", "/register", &[kind, ("Cookie", &cookie)], "visitor=Gogo&minutes=many");
        assert_eq!(wrong.status, 422);
        assert!(wrong.body.contains("value=\"Gogo\"") && wrong.body.contains("is not a number of minutes"));
        let days = "/tables/show?agreement=national&from=2020-13-01&to=2020-12-31";
        let days = send(address, "GET", days, &[("Cookie", &cookie)], "");
        assert_eq!(days.status, 422);
        assert!(days.body.contains("value=\"2020-13-01\"") && days.body.contains("is not a day"), "{}", days.body);
        let answer = "agreement=national&answering=&reason=The+board+decides";
        let answer = send(address, "POST", "/tables", &[kind, ("Cookie", &cookie)], answer);
        assert_eq!(answer.status, 422);
        assert!(answer.body.contains("value=\"The board decides\""), "{}", answer.body);
        // What is missing is called by the name that stands above it on that page.
        let report = send(address, "POST", "/reports", &[kind, ("Cookie", &cookie)], "every=quarter");
        assert_eq!(report.status, 422);
        for named in ["What the report is called: This is needed", "Which figures stand in it: This is needed"] {
            assert!(report.body.contains(named), "{named}: {}", report.body);
        }
        let review = send(address, "GET", "/review?from=2020-01-01", &[("Cookie", &cookie)], "");
        assert!(review.body.contains("To (year-month-day): "), "{}", review.body);
        let elsewhere =
            send(address, "POST", "/sign-in", &[kind], &form.replace("then=/register", "then=//evil.test/"));
        assert!(!elsewhere.body.contains("evil.test") && !elsewhere.head.contains("evil.test"));
    });
}

#[test]
fn guessing_is_slowed_and_unknown_names_look_like_wrong_passwords() {
    with_pages(|address| {
        let kind = ("Content-Type", "application/json");
        let guess = |name: &str| {
            send(
                address,
                "POST",
                "/api/v1/sign-in",
                &[kind],
                &format!("{{\"name\":\"{name}\",\"password\":\"wrong\"}}"),
            )
        };
        let (unknown, known) = (guess("nobody"), guess("worker"));
        assert_eq!((unknown.status, known.status), (401, 401));
        assert_eq!(unknown.body, known.body);
        for _ in 0..3 {
            guess("worker");
        }
        let slowed = guess("worker");
        assert_eq!(slowed.status, 429);
        assert!(slowed.body.contains("wait"), "{}", slowed.body);
        let unknown_field =
            send(address, "POST", "/api/v1/sign-in", &[kind], "{\"name\":\"a\",\"password\":\"b\",\"admin\":true}");
        assert_eq!(unknown_field.status, 422);
        assert!(send(address, "POST", "/api/v1/sign-in", &[kind], "{").body.contains("\"status\":400"));
    });
}

#[test]
fn a_page_cookie_does_not_open_the_api_and_roles_bind_every_call() {
    with_pages(|address| {
        let cookie = sign_in(address);
        assert_eq!(send(address, "GET", "/api/v1/home", &[("Cookie", &cookie)], "").status, 401);
        let body = format!("{{\"name\":\"admin\",\"password\":\"{PASSWORD}\"}}");
        let answer = send(address, "POST", "/api/v1/sign-in", &[("Content-Type", "application/json")], &body);
        let session: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let bearer = format!("Bearer {}", session["token"].as_str().unwrap());
        let get = |path: &str| send(address, "GET", path, &[("Authorization", &bearer)], "").status;
        // The administrator runs accounts and sees no case content.
        assert_eq!(get("/api/v1/staff"), 200);
        for path in
            ["/api/v1/cases", "/api/v1/register", "/api/v1/referrals", "/api/v1/figures?from=2026-01-01&to=2026-01-31"]
        {
            assert_eq!(get(path), 403, "{path}");
        }
        assert_eq!(get("/api/v1/cases/01a1ee565e0070008000000000000000"), 404);
        assert_eq!(get("/api/v1/nothing"), 404);
        // A period has both its days.
        assert_eq!(get("/api/v1/reports/01a1ee565e0070008000000000000000?from=2026-01-01"), 422);
    });
}

#[test]
fn what_is_typed_is_kept_for_the_one_who_typed_it_until_it_is_sent() {
    with_pages(|address| {
        let cookie = sign_in(address);
        let post = |cookie: &str, path: &str, body: &str| {
            let headers = [("Cookie", cookie), ("Content-Type", "application/x-www-form-urlencoded")];
            send(address, "POST", path, &headers, body)
        };
        let get = |cookie: &str, path: &str| send(address, "GET", path, &[("Cookie", cookie)], "");
        let draft = "visitor=Gogo+Maria&note=Asked+about+her+pension&password=never&draft:path=/register&draft:page=p1";
        assert_eq!(post(&cookie, "/drafts", draft).status, 204);
        for elsewhere in ["//evil.test", "https://evil.test", "/drafts", ""] {
            let body = format!("note=x&draft:path={elsewhere}");
            assert_eq!(post(&cookie, "/drafts", &body).status, 422, "{elsewhere}");
        }
        assert_eq!(send(address, "POST", "/drafts", &[], draft).status, 303, "without a session");
        let home = get(&cookie, "/").body;
        assert!(home.contains("Asked about her pension"));
        let link = home.split("href=\"/drafts/").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let page = get(&cookie, &format!("/drafts/{link}")).body;
        assert!(
            page.contains("Gogo Maria") && page.contains("action=\"/register?draft=p1\"") && !page.contains("never")
        );
        let other = sign_in_as(address, "admin");
        assert_eq!(get(&other, &format!("/drafts/{link}")).status, 404, "somebody else's");
        assert!(!get(&other, "/").body.contains("Asked about her pension"));

        // A form that was not taken keeps its draft; one that was taken has none any more.
        assert_eq!(post(&cookie, "/register?draft=p1", "visitor=Gogo+Maria&minutes=many").status, 422);
        // The same form on another page is another draft, and takes nothing from this one.
        let second = draft.replace("draft:page=p1", "draft:page=p2").replace("Gogo+Maria", "Sipho");
        assert_eq!(post(&cookie, "/drafts", &second).status, 204);
        assert_eq!(post(&cookie, "/register?draft=p2", "visitor=Sipho").status, 303);
        assert_eq!(post(&other, &format!("/drafts/{link}/drop"), "").status, 303);
        assert_eq!(get(&cookie, &format!("/drafts/{link}")).status, 200);
        assert_eq!(post(&cookie, "/register?draft=p1", "visitor=Gogo+Maria&note=Asked").status, 303);
        assert_eq!(get(&cookie, &format!("/drafts/{link}")).status, 404);

        assert_eq!(post(&cookie, "/drafts", draft).status, 204);
        assert_eq!(post(&cookie, &format!("/drafts/{link}/drop"), "").status, 303);
        assert_eq!(get(&cookie, &format!("/drafts/{link}")).status, 404);
        let long = format!("note={}&draft:path=/register", "x".repeat(300 * 1024));
        assert_eq!(post(&cookie, "/drafts", &long).status, 507);
    });
}

#[test]
fn a_token_is_narrowed_and_a_first_password_comes_before_everything() {
    with_pages(|address| {
        let json = ("Content-Type", "application/json");
        let token_of = |name: &str, password: &str, scopes: &str| {
            let body = format!(r#"{{"name": "{name}", "password": "{password}", "scopes": [{scopes}]}}"#);
            let answer = send(address, "POST", "/api/v1/sign-in", &[json], &body);
            (answer.status, answer.body)
        };
        let bearer = |answer: &str| {
            let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
            format!("Bearer {}", answer["token"].as_str().unwrap())
        };
        let (status, why) = token_of("worker", PASSWORD, "\"flying:read\"");
        assert_eq!(status, 422);
        assert!(why.contains("is no scope"), "{why}");
        let (_, narrow) = token_of("worker", PASSWORD, "\"people:read\"");
        let narrow = bearer(&narrow);
        let call = |method: &str, path: &str, token: &str, body: &str| {
            send(address, method, path, &[json, ("Authorization", token)], body)
        };
        assert_eq!(call("POST", "/api/v1/people/search", &narrow, r#"{"text": "x"}"#).status, 200);
        assert_eq!(call("GET", "/api/v1/session", &narrow, "").status, 200);
        let refused = call("POST", "/api/v1/people", &narrow, r#"{"identity": "anonymous"}"#);
        assert_eq!(refused.status, 403);
        assert!(refused.body.contains("error-scope") && refused.body.contains("a scope of people"), "{}", refused.body);
        assert_eq!(call("GET", "/api/v1/cases", &narrow, "").status, 403);
        // Sent as a page's cookie it opens nothing at all.
        let signed_in = sign_in(address);
        let name = signed_in.split('=').next().unwrap();
        let cookie = format!("{name}={}", narrow.trim_start_matches("Bearer "));
        assert_eq!(send(address, "GET", "/cases", &[("Cookie", signed_in.as_str())], "").status, 200);
        assert_eq!(send(address, "GET", "/cases", &[("Cookie", cookie.as_str())], "").status, 303);

        // An account that somebody else made does nothing before it has a password of its own.
        let admin = bearer(&token_of("admin", PASSWORD, "").1);
        let lead = bearer(&token_of("worker", PASSWORD, "").1);
        let new = format!(
            r#"{{"sign_in": "nomsa", "name": "Nomsa", "roles": ["caseworker"], "password": "{FIRST_PASSWORD}", "unlocks": false}}"#
        );
        assert_eq!(call("POST", "/api/v1/staff", &admin, &new).status, 200);
        let requests = call("GET", "/api/v1/requests", &lead, "").body;
        let requests: serde_json::Value = serde_json::from_str(&requests).unwrap();
        let decide = format!("/api/v1/requests/{}/decide", requests[0]["id"].as_str().unwrap());
        assert_eq!(call("POST", &decide, &lead, r#"{"approved": true}"#).status, 200);
        let nomsa = bearer(&token_of("nomsa", FIRST_PASSWORD, "").1);
        let home = call("GET", "/api/v1/home", &nomsa, "");
        assert_eq!(home.status, 403);
        assert!(home.body.contains("choose a password of your own first"), "{}", home.body);
        let own = format!(r#"{{"current": "{FIRST_PASSWORD}", "password": "{PASSWORD}"}}"#);
        let changed = call("POST", "/api/v1/account/password", &nomsa, &own);
        assert_eq!(changed.status, 200, "{}", changed.body);
        assert_eq!(call("GET", "/api/v1/home", &nomsa, "").status, 200);
    });
}

#[test]
fn a_table_that_is_taken_along_has_no_formula_and_no_name() {
    use crate::referring::{client, sharing};
    use casemesh_node::office::{ConsentInput, ReferralInput};
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = TestNode::new(&new_node("Advice office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    let served = runtime.block_on(Served::start(node.to_serve())).unwrap();
    let address = served.address.to_string();
    let knock = casemesh_node::node::Knock::new("worker", PASSWORD, "test");
    let desk = served.node.desk(&served.node.sign_in(&knock).unwrap()).unwrap();
    let (person, case) = client(&desk);
    let evil = "\u{200b}=HYPERLINK(\"http://evil.test\")";
    let consent = ConsentInput { outside: evil.into(), ..sharing(&[], &["names"]) };
    let agreed = desk.record_consent(person, consent).unwrap();
    let input = ReferralInput {
        outside: evil.into(),
        service: "health".into(),
        need: "A check".into(),
        urgency: "routine".into(),
        consent: agreed.to_string(),
        ..ReferralInput::default()
    };
    desk.send_referral(case, input).unwrap();
    let cookie = sign_in(&address);
    assert!(send(&address, "GET", "/referrals", &[("Cookie", &cookie)], "").body.contains("/referrals/table"));
    let table = send(&address, "GET", "/referrals/table", &[("Cookie", &cookie)], "");
    assert_eq!((table.status, table.header("content-type").as_deref()), (200, Some("text/csv; charset=utf-8")));
    assert!(table.header("content-disposition").unwrap().contains("referrals-"));
    let mut read = table.body.trim_start_matches('\u{feff}').lines();
    assert!(read.next().unwrap().contains("Other office"));
    let row = read.next().unwrap();
    assert!(row.contains("\"'\u{200b}=HYPERLINK(\"\"http://evil.test\"\")\""), "{row}");
    assert!(!table.body.contains("Nomvula") && !table.body.contains("Dlamini"));
    runtime.block_on(served.stop()).unwrap();
}
