import type { FileChange } from '../install/file-change.js'
import { isApplied } from '../install/file-change.js'
import type { InstallResult } from '../install/install.js'
import type { UninstallResult } from '../install/uninstall.js'

/** One sentence on what is about to happen, for the question before it. */
export function installSummary(engine: string, changes: readonly FileChange[]): string {
  const open = changes.filter((change) => !isApplied(change))
  const created = open.filter((change) => change.before === undefined).length
  const edited = open.filter((change) => change.before !== undefined).map((change) => change.path)
  const edits = edited.length === 0 ? 'changes no file that is there' : `changes ${edited.join(', ')}`
  return `This adds ${created} files, ${edits}, starts the guard and tells ${engine}; no container is stopped.`
}

/** What is said at the end of an installation, or in place of it. */
export function installView(result: InstallResult): string[] {
  const notes = result.notes.map((note) => `Note: ${note}`)
  switch (result.outcome) {
    case 'dry-run':
      return [...diffLines(result.diff), ...notes, 'Nothing was changed (--dry-run).']
    case 'declined':
      return ['Nothing was changed.']
    case 'unchanged':
      return [...notes, 'Everything was in place already.']
    case 'installed':
      return [...notes, `Installed. Try it: ${result.tryIt}`, `Undo it: ${result.undo}`]
  }
}

export function uninstallView(result: UninstallResult): string[] {
  const notes = result.warnings.map((warning) => `Note: ${warning}`)
  switch (result.outcome) {
    case 'not-installed':
      return [`spark-run is not installed for ${result.engines.join(' or ')} here: there is nothing to undo.`]
    case 'dry-run': {
      const users = result.inUseBy.length === 0 ? [] : [`Would be refused: in use by ${result.inUseBy.join(', ')}.`]
      return [...diffLines(result.diff), ...notes, ...users, 'Nothing was changed (--dry-run).']
    }
    case 'declined':
      return ['Nothing was changed.']
    case 'pass-through':
      return [...notes, 'The runtime is a pass-through now.']
    case 'uninstalled':
      return [...notes, 'Uninstalled.']
  }
}

function diffLines(diff: string): string[] {
  return diff === '' ? ['Every file is as it should be.'] : diff.trimEnd().split('\n')
}
