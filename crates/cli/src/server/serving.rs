//! What is served and how: the part of a server that a reload replaces.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use afpa_cache::{Cache, CacheConfig};
use afpa_http::files::{CacheRule, Selector, Site, SiteOptions, Watch};
use afpa_http::remote::Relay;
use afpa_http::syntax::Limits;
use afpa_http::{Kept, Settings};

use super::direct;
use super::dns::DnsServing;
use super::pools::Pools;
use super::relay;
use crate::config::{self, Config, sites};

/// The settings that the engines share, and what they stand on.
pub(super) struct Serving {
    http: Option<HttpServing>,
    dns: Option<DnsServing>,
}

/// Of HTTP.
struct HttpServing {
    settings: Arc<Settings>,
    grounds: Vec<Arc<Ground>>,
    /// What lets other servers answer, if any shall.
    relaying: Option<Relaying>,
}

/// Other servers, and how they are watched.
struct Relaying {
    relay: Arc<Relay>,
    pools: Arc<Pools>,
}

/// A site of files, its cache, and the thread that keeps the cache honest. Kept through a reload that
/// changes none of what they are made from, so that a reload does not leave the cache cold.
struct Ground {
    root: PathBuf,
    number: u16,
    site_config: config::Site,
    cache_config: config::Cache,
    site: Arc<Site>,
    cache: Arc<Cache<Kept>>,
    _watch: Watch,
}

impl Serving {
    /// Opens what is served and an empty cache, or takes over those of `previous`. Nothing that runs is
    /// touched.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub(super) fn prepare(config: &Config, engines: usize, previous: Option<&Serving>) -> Result<Serving, String> {
        let http = previous.and_then(|serving| serving.http.as_ref());
        let http = config.serves_http().then(|| HttpServing::prepare(config, engines, http)).transpose()?;
        let dns = config.dns.as_ref();
        let before = previous.and_then(|serving| serving.dns.as_ref());
        let dns = dns.map(|dns| DnsServing::prepare(config, dns, engines, before)).transpose()?;
        Ok(Serving { http, dns })
    }

    /// The settings of HTTP, if that is served.
    pub(super) fn http(&self) -> Option<Arc<Settings>> {
        self.http.as_ref().map(|http| http.settings.clone())
    }

    /// What lets other servers answer, if any shall.
    pub(super) fn relay(&self) -> Option<Arc<Relay>> {
        self.http.as_ref()?.relaying.as_ref().map(|relaying| relaying.relay.clone())
    }

    /// How other servers are watched, if there are any.
    pub(super) fn pools(&self) -> Option<Arc<Pools>> {
        self.http.as_ref()?.relaying.as_ref().map(|relaying| relaying.pools.clone())
    }

    /// What DNS serves, if it does.
    pub(super) fn dns(&self) -> Option<&DnsServing> {
        self.dns.as_ref()
    }
}

impl HttpServing {
    fn prepare(config: &Config, engines: usize, previous: Option<&HttpServing>) -> Result<HttpServing, String> {
        let same_cache = |serving: &&HttpServing| serving.grounds.iter().all(|g| g.cache_config == config.cache);
        let cache = match previous.filter(same_cache) {
            Some(serving) => serving.settings.cache.clone(),
            None => cache(config, engines)?,
        };
        let mut grounds = Vec::new();
        for (number, root) in sites::file_roots(config).into_iter().enumerate() {
            let number =
                u16::try_from(number).map_err(|_| "there are more directories than can be served".to_owned())?;
            let unchanged = |ground: &&Arc<Ground>| ground.is_for(config, root, number, &cache);
            let kept = previous.and_then(|serving| serving.grounds.iter().find(unchanged));
            grounds.push(match kept {
                Some(ground) => ground.clone(),
                None => Arc::new(Ground::prepare(config, root, number, &cache)?),
            });
        }
        let relaying = config
            .has_routes()
            .then(|| Relaying::prepare(config, &cache, engines, previous.and_then(|serving| serving.relaying.as_ref())))
            .transpose()?;
        let limits = &config.limits;
        let settings = Settings {
            sites: grounds.iter().map(|ground| ground.site.clone()).collect(),
            cache,
            limits: Limits { extension_methods: relaying.is_some(), ..head_limits(limits) },
            header_timeout: limits.header_timeout.0,
            idle_timeout: limits.idle_timeout.0,
            min_rate: limits.min_rate.0,
            body_drain: limits.body_drain.0,
        };
        Ok(HttpServing { settings: Arc::new(settings), grounds, relaying })
    }
}

impl Relaying {
    fn prepare(
        config: &Config,
        cache: &Arc<Cache<Kept>>,
        engines: usize,
        previous: Option<&Relaying>,
    ) -> Result<Relaying, String> {
        let pools = relay::watch(config, previous.map(|relaying| &relaying.pools))?;
        let previous = previous.map(|relaying| &*relaying.relay);
        let relay = relay::relay(config, &pools, cache, engines, previous)?;
        Ok(Relaying { relay: Arc::new(relay), pools })
    }
}

impl Ground {
    fn prepare(config: &Config, root: &Path, number: u16, cache: &Arc<Cache<Kept>>) -> Result<Ground, String> {
        let site = Site::open(root, SiteOptions { number, ..site_options(config) })
            .map_err(|error| format!("{} cannot be served: {error}", root.display()))?;
        let site = Arc::new(site);
        let watch = Watch::start(site.clone(), cache.clone())
            .map_err(|error| format!("{} cannot be watched: {error}", root.display()))?;
        Ok(Ground {
            root: root.to_owned(),
            number,
            site_config: config.site.clone(),
            cache_config: config.cache,
            site,
            cache: cache.clone(),
            _watch: watch,
        })
    }

    /// Whether it is what this configuration would make.
    fn is_for(&self, config: &Config, root: &Path, number: u16, cache: &Arc<Cache<Kept>>) -> bool {
        self.root == root
            && self.number == number
            && self.site_config == config.site
            && self.cache_config == config.cache
            && Arc::ptr_eq(&self.cache, cache)
    }
}

fn cache(config: &Config, engines: usize) -> Result<Arc<Cache<Kept>>, String> {
    let largest = config.accelerate.numbered_policies().map(|policy| policy.max_object.0).max();
    let of_backends = largest.filter(|_| !config.sites.is_empty()).unwrap_or(0);
    let cache = Cache::new(CacheConfig {
        capacity: config.cache.size.0,
        max_pinned_object: config.cache.max_pinned_object.0.max(of_backends),
        engines,
        frames: direct::frame_memory(config),
    });
    cache.map_err(|error| format!("a cache of {} cannot be made: {error}", config.cache.size))
}

fn site_options(config: &Config) -> SiteOptions {
    let site = &config.site;
    let rule = |rule: &config::CacheControlRule| {
        let applies_to = match (&rule.prefix, &rule.extension) {
            (Some(prefix), _) => Selector::Prefix(prefix.clone()),
            (None, Some(extension)) => Selector::Extension(extension.clone()),
            (None, None) => Selector::Everything,
        };
        CacheRule { applies_to, value: rule.value.clone() }
    };
    let default =
        site.cache_control.iter().map(|value| CacheRule { applies_to: Selector::Everything, value: value.clone() });
    SiteOptions {
        index: site.index.clone(),
        listing: site.listing,
        dotfiles: site.dotfiles,
        follow_symlinks_outside: site.follow_symlinks,
        precompressed: site.precompressed,
        compress: site.compress,
        cache_control: site.cache_control_rules.iter().map(rule).chain(default).collect(),
        max_pinned_object: config.cache.max_pinned_object.0,
        revalidate_after: config.cache.revalidate.0,
        ..SiteOptions::default()
    }
}

fn head_limits(limits: &config::Limits) -> Limits {
    Limits {
        head: limits.header_size.0 as usize,
        fields: limits.headers as usize,
        target: limits.target.0 as usize,
        ..Limits::default()
    }
}
