//! A Redis Cluster, where keys of one decision lie in one slot or it is refused before anything is asked.

use shared_core::Secret;
use shared_db::redis::{Config, Redis};
use shared_devkit::RedisCluster;
use shared_security::{By, Error, Key, Limit, Limiter, OnOutage, RedisLimits, Rule};

use super::{HOUR, PATIENCE, tenant};

const USER: Rule = Rule::new("user", &[By::Principal, By::Tenant], Limit::per(3, HOUR));
const TENANT: Rule = Rule::new("tenant", &[By::Tenant], Limit::sliding(5, HOUR));
const ADDRESS: Rule = Rule::new("address", &[By::Address], Limit::per(3, HOUR));

/// Trap 14.
#[tokio::test]
async fn rules_with_a_part_in_common_share_a_slot_and_others_are_refused_when_built() {
    let cluster = RedisCluster::exclusive().await.unwrap();
    let mut config = Config::new("");
    config.urls = cluster.urls().iter().map(Secret::new).collect();
    config.cluster = true;
    let redis = Redis::connect(&config).await.unwrap();
    let store = || RedisLimits::new(redis.clone(), OnOutage::Refuse).timeout(PATIENCE);

    let apart = Limiter::new(store(), [ADDRESS, TENANT]);
    assert!(
        matches!(&apart, Err(error @ Error::Limits { .. }) if error.to_string().contains("in common")),
        "{apart:?}"
    );
    let braces = Limiter::new(store().prefix("{a}"), [TENANT]);
    assert!(matches!(braces, Err(Error::Limits { .. })));
    assert!(Limiter::new(store(), [ADDRESS]).is_ok());

    let limiter = Limiter::new(store(), [USER, TENANT]).unwrap();
    for number in 0..20 {
        let ask = async |user| limiter.check(&Key::new().tenant(tenant(number)).principal(user), 3).await;
        assert!(ask("a").await.allowed());
        let denied = ask("b").await;
        assert!(!denied.allowed() && !denied.is_outage(), "{denied:?}");
        let key = Key::new().tenant(tenant(number)).principal("b");
        assert_eq!(
            limiter.check(&key, 2).await.remaining(),
            0,
            "the tenant's window had two left, all of the user's bucket"
        );
    }
}
