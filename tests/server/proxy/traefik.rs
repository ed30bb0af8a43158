//! Traefik, from its Go module.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use control_plane::Tool;

use super::{Site, filled, protects, snippet};
use crate::request::Request;

fn traefik(directory: &Path, own: SocketAddr, server: SocketAddr, application: SocketAddr) -> Command {
    let routes = filled(
        &snippet("Traefik"),
        &[
            ("snaphook.snaphook-system.svc:8080", server.to_string()),
            ("application.internal:8000", application.to_string()),
        ],
    );
    let file = directory.join("routes.yaml");
    fs::write(&file, routes).unwrap();
    let mut command = Command::new(Tool::Traefik.find().unwrap());
    command
        .arg(format!("--entrypoints.web.address={own}"))
        .arg(format!("--providers.file.filename={}", file.display()))
        .args(["--providers.file.watch=false", "--global.checknewversion=false", "--global.sendanonymoususage=false"]);
    command
}

#[test]
fn traefik_asks_about_every_request() {
    protects(&Site::start(traefik));
}

#[test]
fn traefik_lets_nothing_through_when_nobody_answers() {
    let site = Site::start(traefik);
    let request = Request::get("/orders/7").bearer(&site.server.token("app"));
    assert_eq!(site.send(&request).status, 200);
    site.server.signal("TERM");
    site.server.exits();
    assert_eq!(site.refused(&request).0, 500);
}
