//! Start-up of `snaphook receive`: the other end of a delivery, to see what arrives there.

use std::{fmt::Write as _, net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context as _;
use axum::{
    body::Bytes,
    http::{StatusCode, request::Parts},
};

use crate::{
    receiver,
    shutdown::Shutdown,
    terminal::{self, Printer},
};

/// What is left to print at the end may take so long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Arguments of `snaphook receive`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Address to listen on; port 0 chooses a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// The status that every call is answered with
    #[arg(long, value_name = "CODE", default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
}

/// Runs until a signal ends it.
///
/// # Errors
/// The address cannot be listened on.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    super::runtime()?.block_on(serve(args))
}

async fn serve(args: &Args) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    let listener = tokio::net::TcpListener::bind(args.listen).await;
    let listener =
        listener.with_context(|| format!("cannot listen on {}: choose another with --listen", args.listen))?;
    let printer = Printer::start().context("there is no thread to print on")?;
    printer.print(format!(
        "Receiving on http://{}; everything that arrives is printed. Ctrl-C ends.\n\n",
        listener.local_addr()?
    ));
    let show = {
        let printer = printer.clone();
        move |parts: &Parts, body: &Bytes| printer.print(shown(parts, body))
    };
    tokio::select! {
        () = receiver::serve(listener, StatusCode::from_u16(args.status)?, show) => {}
        () = shutdown.requested() => {}
    }
    printer.flush(LAST_WORDS).await;
    Ok(ExitCode::SUCCESS)
}

/// A call as it stood on the wire, but for what cannot be shown.
fn shown(parts: &Parts, body: &Bytes) -> String {
    let mut text = format!("{}  {} {}\n", jiff::Zoned::now().strftime("%H:%M:%S"), parts.method, parts.uri);
    for (name, value) in &parts.headers {
        let _ = writeln!(text, "  {name}: {}", terminal::lines(value.as_bytes())); // a String takes everything
    }
    let _ = write!(text, "\n{}\n\n", terminal::lines(body));
    text
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;

    use super::*;

    #[test]
    fn what_arrives_is_shown_and_cannot_steer_a_terminal() {
        let request = Request::post("/in?a=b").header("clientid", "link").body(()).unwrap();
        let shown = shown(&request.into_parts().0, &Bytes::from_static(b"one\n\x1b[2Jtwo\xff"));
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].ends_with("POST /in?a=b"), "{shown}");
        assert_eq!(lines[1..5], ["  clientid: link", "", "one", "\u{fffd}[2Jtwo\u{fffd}"]);
    }
}
