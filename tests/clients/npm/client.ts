// A client of thumbq by openapi-typescript and openapi-fetch: it uploads a file, waits and reads the thumbnail.
import { readFileSync } from 'node:fs'
import createClient from 'openapi-fetch'
import type { paths } from './schema.js'

const [baseUrl = '', token = '', path = ''] = process.argv.slice(2)
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } })
const photo = new Blob([readFileSync(path)])

const uploaded = await client.POST('/upload', {
  params: { header: { Prefer: 'wait=20' } },
  body: { presets: 'thumbnail', file: ['photo.jpg'] },
  bodySerializer(body) {
    const form = new FormData()
    form.append('presets', body.presets ?? '')
    form.append('file', photo, body.file[0])
    return form
  },
})
const [job] = uploaded.data?.data.jobs ?? []
if (job === undefined || 'problem' in job) throw new Error(uploaded.error?.detail ?? job?.problem.detail)

const waited = await client.GET('/jobs/{id}', {
  params: { path: { id: job.id }, header: { Prefer: 'wait=20' } },
})
if (waited.data === undefined) throw new Error(waited.error.detail)
const done = waited.data.data
const thumbnail = await client.GET('/jobs/{id}/{preset}', {
  params: { path: { id: done.id, preset: 'thumbnail' } },
  parseAs: 'arrayBuffer',
})
const put = await client.PUT('/upload/{filename}', {
  params: { path: { filename: 'photo.jpg' }, query: { presets: 'thumbnail' } },
  body: '',
  bodySerializer: () => photo,
})
const refused = await client.GET('/jobs/{id}', { params: { path: { id: '0'.repeat(26) } } })

console.log(
  JSON.stringify({
    status: done.status,
    width: done.renditions.thumbnail?.width,
    original: done.original?.filename,
    bytes: thumbnail.data?.byteLength,
    is: done.renditions.thumbnail?.bytes,
    put: put.response.status,
    code: refused.error?.code,
  }),
)
