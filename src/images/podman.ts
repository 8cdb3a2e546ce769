import { ExpectedError } from '../errors.js'
import { type ContentOptions, readImageContent } from './content.js'
import { CONTENT_LABEL, type ImageName, imageTag } from './image.js'
import { computeChanges, hashImageContent, packImageContent } from './pack.js'

/**
 * Makes sure that Podman has one of our images; no Docker and no registry is needed.
 *
 * @param podmanArgs Podman's global options, such as `['--root', dir]` for a storage of one's own
 * @returns the image's tag, `localhost/spark-run/<name>:<version>`
 * @throws ExpectedError `IMAGE_REFUSED` with Podman's own words, or what {@link readImageContent} throws
 */
export async function importIntoPodman(
  name: ImageName,
  options: ContentOptions & { readonly podmanArgs?: readonly string[] } = {},
): Promise<string> {
  const { execa } = await import('execa')
  const tag = `localhost/${imageTag(name)}`
  const podmanArgs = options.podmanArgs ?? []
  const content = await readImageContent(name, options)
  const hash = await hashImageContent(content)
  const format = `{{index .Config.Labels "${CONTENT_LABEL}"}}`
  const present = await execa('podman', [...podmanArgs, 'image', 'inspect', '--format', format, tag], { reject: false })
  if (present.exitCode === 0 && present.stdout === hash) return tag
  options.log?.(`making the image ${tag}`)
  const changes = computeChanges(content, hash).flatMap((change) => ['--change', change])
  const imported = await execa('podman', [...podmanArgs, 'import', '--quiet', ...changes, '-', tag], {
    reject: false,
    input: await packImageContent(content),
  })
  if (imported.exitCode !== 0) {
    const words = imported.code === 'ENOENT' ? 'podman is not installed' : imported.stderr.trim().split('\n').at(-1)
    throw new ExpectedError('IMAGE_REFUSED', `Podman did not take the image ${tag}: ${words}`)
  }
  return tag
}
