//! nginx, from Debian.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use super::{Site, filled, protects, snippet};
use crate::request::Request;

const PROGRAM: &str = "nginx";

/// One process in the foreground that writes nowhere but into its directory.
const AROUND: &str = "\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr info;
events {}
http {
    access_log off;
    client_body_temp_path client;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
";

fn nginx(directory: &Path, own: SocketAddr, server: SocketAddr, application: SocketAddr) -> Command {
    let site = filled(
        &snippet("nginx"),
        &[
            ("snaphook.snaphook-system.svc:8080", server.to_string()),
            ("application.internal:8000", application.to_string()),
            ("listen 80;", format!("listen {own};")),
        ],
    );
    let configuration = directory.join("nginx.conf");
    fs::write(&configuration, format!("{AROUND}{site}\n}}\n")).unwrap();
    let mut command = Command::new(program());
    command.arg("-p").arg(directory).arg("-c").arg(configuration).args(["-e", "stderr"]);
    command
}

/// Debian has it where only root looks.
fn program() -> &'static str {
    let found =
        [PROGRAM, "/usr/sbin/nginx"].into_iter().find(|program| Command::new(program).arg("-v").output().is_ok());
    found.expect("this test needs nginx with its auth_request module: apt-get install nginx-light")
}

#[test]
fn nginx_asks_about_every_request() {
    protects(&Site::start(nginx));
}

#[test]
fn nginx_lets_nothing_through_when_nobody_answers() {
    let site = Site::start(nginx);
    let request = Request::get("/orders/7").bearer(&site.server.token("app"));
    assert_eq!(site.send(&request).status, 200);
    site.server.signal("TERM");
    site.server.exits();
    let response = site.send(&request);
    assert_eq!((response.status, response.header("retry-after")), (503, Some("5")));
}
