//! The test app: what users' Pods do with the Secrets that they mount. One subcommand a role.

mod credential;
mod http;
mod load;
mod orders;
mod shop;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Hold the namespaces of a Pod
    Pause,
    /// Serve an API that asks introspection about each caller's token
    Orders {
        /// The mounted Secret of an AppCredential that may introspect
        #[arg(long)]
        credential: PathBuf,
    },
    /// Call that API again and again with a token of one's own, and print what changes
    Shop {
        /// The mounted Secret of an AppCredential
        #[arg(long)]
        credential: PathBuf,
        #[arg(long)]
        orders: String,
    },
    /// Get tokens until standard input ends, without trying again, and print how that went
    Tokens {
        /// The mounted Secret of an AppCredential
        #[arg(long)]
        credential: PathBuf,
        #[command(flatten)]
        load: Load,
    },
    /// Post signed messages until standard input ends, each until it is accepted, and print how that went
    Posts {
        /// The mounted Secret of a Webhook with GitHub's verification
        #[arg(long)]
        webhook: PathBuf,
        /// What tells these messages from others
        #[arg(long)]
        run: String,
        #[command(flatten)]
        load: Load,
    },
}

/// Goes on until standard input ends.
#[derive(Args, Clone, Copy)]
struct Load {
    /// For how long at most
    #[arg(long, default_value_t = 180)]
    seconds: u64,
    /// How many a second
    #[arg(long)]
    rate: u32,
}

impl Load {
    fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn main() -> Result<()> {
    let role = Cli::parse().role;
    if let Role::Pause = role {
        loop {
            std::thread::park();
        }
    }
    tokio::runtime::Runtime::new()?.block_on(async {
        match role {
            Role::Pause => Ok(()),
            Role::Orders { credential } => orders::serve(credential).await,
            Role::Shop { credential, orders } => shop::run(&credential, &orders).await,
            Role::Tokens { credential, load } => load::tokens(&credential, load).await,
            Role::Posts { webhook, run, load } => load::posts(&webhook, &run, load).await,
        }
    })
}
