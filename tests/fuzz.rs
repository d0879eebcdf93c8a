//! Schemathesis makes calls of every kind from the OpenAPI document, as each role in turn: no answer may be a server
//! error or break the document. It is not part of every run; `.ci/schemathesis` installs it and runs this.

use crate::harness::{PASSWORD, TestNode, hire, new_node};
use casemesh::serve::Served;
use casemesh_node::node::Knock;
use casemesh_node::office::{CaseInput, PersonInput};
use casemesh_node::records::StaffRole;
use casemesh_protocol::directory::{OfficeKind, Role};
use std::process::Command;

/// What is looked at in every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method";

#[test]
#[ignore = "run it with .ci/schemathesis, which installs what it needs"]
fn the_api_keeps_to_its_document_for_every_role() {
    let schemathesis = std::env::var_os("CASEMESH_SCHEMATHESIS").unwrap();
    let examples = std::env::var("CASEMESH_EXAMPLES").unwrap_or_else(|_| "20".into());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = TestNode::new(&new_node("Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    let served = runtime.block_on(Served::start(node.to_serve())).unwrap();
    let sign_in = |name: &str| served.node.sign_in(&Knock::new(name, PASSWORD, "test")).unwrap();
    let desk = |name: &str| served.node.desk(&sign_in(name)).unwrap();
    let (admin, lead) = (desk("admin"), desk("worker"));
    let person = lead.register_person(PersonInput { identity: "anonymous".into(), ..PersonInput::default() }).unwrap();
    lead.open_case(vec![person], CaseInput::default()).unwrap();
    let document = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(document.path(), casemesh_web::openapi()).unwrap();
    for role in StaffRole::ALL {
        hire(&served.node, &admin, &lead, role.as_str(), role.as_str(), false);
        let token = sign_in(role.as_str());
        let status = Command::new(&schemathesis)
            .arg("run")
            .arg(document.path())
            .args(["--url", &format!("http://{}", served.address)])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            // Ending one's own session would end the run; a wrong password is throttled by design.
            .args(["--exclude-path", "/api/v1/sign-out", "--exclude-path", "/api/v1/sign-in"])
            .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", &examples])
            .args(["--seed", "1", "--continue-on-failure", "--warnings", "off"])
            .status()
            .unwrap();
        assert!(status.success(), "{role}: see the report above");
    }
    drop((admin, lead));
    runtime.block_on(served.stop()).unwrap();
}
