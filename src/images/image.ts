import { packageVersion } from '../host/package-files.js'

/** The images that spark-run brings along; `images/<name>/README.md` says what each is for. */
export type ImageName = 'guard' | 'greedy' | 'max'

/** One thing in an image's root file system. */
export type ImageSource =
  /** A file of this machine; symbolic links are followed. */
  | { readonly kind: 'file'; readonly from: string; readonly to: string; readonly mode: number }
  /** A symbolic link inside the image. */
  | { readonly kind: 'link'; readonly to: string; readonly target: string }
  /** A whole directory as the root; its content is known by `identity`, so that it need not be read to be compared. */
  | { readonly kind: 'root'; readonly from: string; readonly identity: string }

/** An image as data: what is in it and how it starts. */
export interface ImageContent {
  readonly sources: readonly ImageSource[]
  /** Dockerfile instructions that an import takes: ENTRYPOINT, CMD, ENV, LABEL, WORKDIR. */
  readonly changes: readonly string[]
}

/** The tag of an image of this version of spark-run. */
export function imageTag(name: ImageName): string {
  return `spark-run/${name}:${packageVersion()}`
}

/** The label that holds the hash of an image's content: an image with the same hash need not be made again. */
export const CONTENT_LABEL = 'io.spark-run.content'
