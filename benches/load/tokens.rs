//! How many tokens a second, by algorithm.

use snaphook::record::Algorithm;

use crate::{
    measure::{Measure, Program},
    realm::Realm,
};

pub(crate) fn measures(program: &Program) -> Vec<Measure> {
    let measure = |name, algorithm, bounds| Measure {
        name,
        bounds,
        server: Realm::start(program, name, algorithm).server,
        requests: Box::new(Realm::token_request),
    };
    vec![
        measure("tokens, EdDSA", Algorithm::EdDSA, Some((0.18, 0.26))),
        measure("tokens, ES256", Algorithm::ES256, None),
    ]
}
