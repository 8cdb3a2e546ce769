import { readFileSync } from 'node:fs'
import path from 'node:path'
import { packageDir } from '../host/package-files.js'

export type TemplateValues = Readonly<Record<string, string>>

/**
 * The text of a file under `hooks/`, its `@NAME@` places filled in.
 *
 * @throws Error for a place without a value, or a value without a place: both are mistakes in this package.
 */
export function readTemplate(name: string, values: TemplateValues = {}): string {
  return fillTemplate(readFileSync(path.join(packageDir, 'hooks', name), 'utf8'), values, name)
}

export function fillTemplate(text: string, values: TemplateValues, name: string): string {
  const unused = new Set(Object.keys(values))
  const filled = text.replaceAll(/@([A-Z_]+)@/g, (_, place: string) => {
    const value = values[place]
    if (value === undefined) throw new Error(`${name} has a place @${place}@ and no value for it`)
    unused.delete(place)
    return value
  })
  if (unused.size > 0) throw new Error(`${name} has no place for ${[...unused].join(', ')}`)
  return filled
}
