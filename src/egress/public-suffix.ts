/**
 * Whether a name is one below which anybody may have names: `com`, `co.uk`, `github.io`. A wildcard for it would be one for strangers.
 * Names are in lower case and A-labels. The rule of this house ({@link knownSuffix}) knows what is common; an operator's list may know all.
 */
export type IsPublicSuffix = (name: string) => boolean;

/**
 * Without a list of the world's registries: every name of one label; two labels that are a country and one of the words registries put
 * before it; and the hosting domains below. Errs to both sides: it refuses `*.com.de`, and lets `*.kobe.jp` pass.
 */
export const knownSuffix: IsPublicSuffix = (name) => {
  const [first = "", second, ...more] = name.split(".");
  if (second === undefined) return true;
  if (more.length === 0 && second.length === 2 && registryWords.has(first)) return true;
  return hosting.has(name) || hostingPatterns.some((pattern) => pattern.test(name));
};

const registryWords: ReadonlySet<string> = new Set(
  (
    "ac co com edu go gob gouv gov gv id in info ltd me mil mod ne net nhs nic nom or org plc police pro sch web " +
    "ad art biz blog eng firm gen ind k12 law med muni museum name school tv"
  ).split(" "),
);

/** Where a name below is somebody's for the asking, or answers with any address that is asked for. */
const hosting: ReadonlySet<string> = new Set(
  (
    "github.io githubusercontent.com gitlab.io bitbucket.io herokuapp.com vercel.app now.sh netlify.app pages.dev workers.dev " +
    "r2.dev web.app firebaseapp.com appspot.com run.app cloudfunctions.net azurewebsites.net azurestaticapps.net blob.core.windows.net " +
    "cloudapp.net cloudapp.azure.com trafficmanager.net azureedge.net cloudfront.net amazonaws.com s3.amazonaws.com elasticbeanstalk.com " +
    "awsapprunner.com on.aws fly.dev onrender.com up.railway.app render.com deno.dev glitch.me repl.co replit.app replit.dev surge.sh " +
    "blogspot.com wordpress.com tumblr.com myshopify.com fastly.net akamaized.net b-cdn.net digitaloceanspaces.com ondigitalocean.app " +
    "ngrok.io ngrok.app ngrok-free.app ngrok.dev trycloudflare.com loca.lt serveo.net localhost.run duckdns.org no-ip.org ddns.net " +
    "dyndns.org hopto.org nip.io sslip.io xip.io localtest.me lvh.me vcap.me in-addr.arpa ip6.arpa eu.org uk.com us.com de.com " +
    "pythonanywhere.com streamlit.app hf.space supabase.co neocities.org readthedocs.io"
  ).split(" "),
);

const hostingPatterns: readonly RegExp[] = [
  // `s3.REGION`, `execute-api.REGION`, `REGION.compute`, …
  /(?:^|\.)amazonaws\.com(?:\.cn)?$/,
  /^[a-z0-9-]+\.(?:digitaloceanspaces\.com|cloudapp\.azure\.com|azurestaticapps\.net|on\.aws|run\.app|elasticbeanstalk\.com)$/,
];
