//! How many checks a second, of tokens that the server sees for the first time and of others.

use std::rc::Rc;

use snaphook::record::Algorithm;

use crate::{
    client::send_once,
    measure::{Measure, Program},
    realm::Realm,
};

/// More than a round can ask about.
const NEW: u32 = 80_000;
const KNOWN: u32 = 1_000;

pub(crate) fn measures(program: &Program) -> Vec<Measure> {
    let realm = Rc::new(Realm::start(program, "introspection", Algorithm::EdDSA));
    let (server, fresh) = (realm.server.clone(), realm.clone());
    let checked = Measure {
        name: "introspection, the signature checked",
        bounds: Some((0.09, 0.13)),
        server: server.clone(),
        requests: Box::new(move || fresh.introspections(NEW, false)),
    };
    let known = Measure {
        name: "introspection, of a token seen before",
        bounds: Some((0.40, 0.65)),
        server,
        requests: Box::new(move || {
            let requests = realm.introspections(KNOWN, true);
            assert!(send_once(realm.server.address, &requests), "the server does not know its own tokens");
            requests
        }),
    };
    vec![checked, known]
}
