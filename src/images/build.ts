import type Dockerode from 'dockerode'
import { ExpectedError } from '../errors.js'
import { type ContentOptions, readImageContent } from './content.js'
import { CONTENT_LABEL, type ImageContent, type ImageName, imageTag } from './image.js'
import { computeChanges, hashImageContent, packImageContent } from './pack.js'

/**
 * Makes sure that a Docker engine has one of our images, without any registry: its root file system is packed here and
 * imported there. Nothing is sent when an image with the same content is there already.
 *
 * @returns the image's tag, `spark-run/<name>:<version>`
 * @throws ExpectedError `IMAGE_REFUSED` with the engine's own words, or what {@link readImageContent} throws
 */
export async function buildImage(docker: Dockerode, name: ImageName, options: ContentOptions = {}): Promise<string> {
  const tag = imageTag(name)
  const content = await readImageContent(name, options)
  const hash = await hashImageContent(content)
  if ((await readContentLabel(docker, tag)) === hash) return tag
  options.log?.(`making the image ${tag}`)
  await importImage(docker, tag, content, hash)
  return tag
}

async function readContentLabel(docker: Dockerode, tag: string): Promise<string | undefined> {
  try {
    const { Config } = await docker.getImage(tag).inspect()
    return Config.Labels?.[CONTENT_LABEL]
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined
    throw error
  }
}

async function importImage(docker: Dockerode, tag: string, content: ImageContent, hash: string): Promise<void> {
  const colon = tag.lastIndexOf(':')
  const answer = await docker.importImage(await packImageContent(content), {
    repo: tag.slice(0, colon),
    tag: tag.slice(colon + 1),
    changes: computeChanges(content, hash),
  })
  await new Promise<void>((resolve, reject) => {
    docker.modem.followProgress(answer, (error: Error | null) => {
      if (error === null) resolve()
      else
        reject(
          new ExpectedError('IMAGE_REFUSED', `the engine did not take the image ${tag}: ${error.message}`, {
            cause: error,
          }),
        )
    })
  })
}
