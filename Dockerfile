# The base brings Node 24; the project's own copy of it, from npm, is for hosts with an older one.
FROM node:24-bookworm-slim AS build
WORKDIR /keyward
COPY package.json package-lock.json .npmrc ./
COPY scripts/generate.ts scripts/
COPY prisma.config.ts ./
COPY prisma prisma
# Without optional dependencies: embedded PostgreSQL is for laptops. Prisma's command line has done its work by then, and
# Node is here already. Of Prisma's query compilers, which are half of what is left, only PostgreSQL's is loaded.
RUN npm ci --omit=dev --omit=optional \
  && npm uninstall --ignore-scripts --omit=dev --omit=optional prisma node \
  && find node_modules/@prisma/client/runtime -name 'query_compiler_*' ! -name 'query_compiler_fast_bg.postgresql.*' -delete
COPY src src
COPY docs/problems docs/problems

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /keyward
COPY --from=build /keyward ./
# Where the local KMS keeps its keys, if it is asked for; a volume made here belongs to the user below.
RUN mkdir /data && chown node:node /data
USER node
EXPOSE 3000
STOPSIGNAL SIGTERM
# Not /readyz: a container must not be restarted because its database is away.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PORT || 3000) + '/livez').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# node itself is process 1, so that it gets the signals.
CMD ["node", "--disable-warning=ExperimentalWarning", "--max-semi-space-size=4", "src/server.ts"]
